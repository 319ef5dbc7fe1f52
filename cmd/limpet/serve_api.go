package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/dashboard"
	"github.com/limpet-gateway/limpet/internal/gateway"
	"github.com/limpet-gateway/limpet/internal/listing"
	"github.com/limpet-gateway/limpet/internal/telemetry"
)

func (n *node) startAPI(context.Context) error {
	server, err := api.Listen(api.Config{
		Addr: n.cfg.API,
		Info: api.Info{
			Node:        n.cfg.Node,
			Version:     versionText(),
			Listen:      n.engine.Addr().String(),
			Uplink:      string(n.cfg.Uplink),
			Kafka:       n.kafka.Brokers,
			TopicPrefix: n.cfg.TopicPrefix,
		},
		Readiness:   &n.ready,
		Alive:       n.alive,
		Descriptors: n.engine.Limits().ForOthers,
		Log:         n.log,
	})
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	n.api = server
	n.serveV1()
	if err := n.observe(); err != nil {
		return err
	}
	server.Serve()
	return nil
}

func (n *node) alive() error {
	select {
	case <-n.engine.Done():
		return errors.New("the event loops have ended")
	default:
		return nil
	}
}

// serveV1 adds what services and operators use to the API.
func (n *node) serveV1() {
	c := gateway.NodeConfig{
		Gateway: n.gateway, Router: n.router, Uplink: n.uplink,
		Node: n.cfg.Node, Incarnation: n.incarnation, Cluster: n.cluster(),
		Reconfigure: n.reloadForAPI,
	}
	if n.auth != nil {
		c.Auth = n.auth
	}
	n.serveTable()
	v1 := apiConfig(&n.cfg)
	if n.traces != nil {
		v1.Follow = n.traces.HTTP
	}
	n.api.HandleV1(gateway.NewNode(c), v1)
}

// serveTable lists the node's table for limpet registry check.
func (n *node) serveTable() {
	n.api.Handle("GET "+listing.SessionsPath, listing.Sessions(n.table))
	n.api.Handle("GET "+listing.GroupsPath, listing.Groups(n.table))
}

// observe puts onto the API address what shows the node at work.
func (n *node) observe() error {
	sources := telemetry.Sources{
		Node:       n.cfg.Node,
		Version:    versionText(),
		Started:    n.started,
		Status:     n.status,
		HostLimits: n.hostLimits,
		Host:       new(telemetry.HostReader),
		Admission:  n.admission,
		Auth:       n.auth,
		Engine:     n.engine,
		Table:      n.table,
		Uplink:     n.uplink,
		Router:     n.router,
		Overload:   n.overload.guard,
		OverRate:   n.gateway.OverRate,
		Reloads:    n.reloading.counts,
	}
	if n.traces != nil {
		sources.Traces, sources.Spans = n.traces.Tracer, n.traces.exporter.Stats
	}
	if n.downlink != nil {
		sources.Downlink = n.downlink.Downlink
		sources.Traffic = &n.traffic
	}
	if n.bus != nil {
		sources.Bus, sources.BusLag = n.bus.stats, n.bus.lag
	}
	if n.directory != nil {
		sources.Directory = n.directory.directory
	}
	metrics, err := telemetry.NewMetrics(sources, n.log)
	if err != nil {
		return err
	}
	n.api.Handle("GET /metrics", metrics.Handler())
	n.api.ServeSnapshots(func() any { return sources.Snapshot() })
	for pattern, handler := range dashboard.Handlers() {
		n.api.Handle(pattern, handler)
	}
	n.api.ServeProfiles()
	n.api.ServeLogLevel(n.logs)
	n.api.ServeWatch(api.Watch{
		Add:        func(who string, d time.Duration, payload int) (any, error) { return n.watch.Add(who, d, payload) },
		Remove:     n.watch.Remove,
		List:       func() any { return n.watch.List() },
		Default:    gateway.DefaultWatch,
		Max:        gateway.MaxWatchTime,
		MaxPayload: gateway.MaxWatchPayload,
	})
	return nil
}

func (n *node) status() (string, []string) {
	report := n.ready.Report()
	var reasons []string
	for _, r := range report.Reasons {
		reasons = append(reasons, r.Part+": "+r.Reason)
	}
	return string(report.Status), reasons
}
