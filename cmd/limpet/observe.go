package main

import (
	"time"

	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/dashboard"
	"github.com/limpet-gateway/limpet/internal/gateway"
	"github.com/limpet-gateway/limpet/internal/telemetry"
)

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
