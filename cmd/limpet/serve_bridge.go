package main

import (
	"context"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/cluster"
	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/gateway"
)

// startRouter makes what takes pushes to sessions, for the downlink and the
// API, and the bus to other nodes.
func (n *node) startRouter(ctx context.Context) error {
	var events gateway.Events
	if n.uplink != nil && n.cfg.Events {
		events = n.uplink.Event
	}
	router := routerConfig(&n.cfg, n.incarnation, n.gateway, events, n.log)
	if n.directory != nil {
		router.Directory = cluster.New(n.directory.directory, n.table, n.cfg.Node)
	}
	if n.overKafka() {
		bus, err := bridge.NewKafkaBus(ctx, bridge.KafkaBusConfig{Kafka: n.kafka, Topics: bridge.NewTopics(n.cfg.TopicPrefix)})
		if err != nil {
			return err
		}
		router.Bus = bus
		n.bus = &busTask{run: func(ctx context.Context) error { return bus.Run(ctx, n.router) }}
	}
	var err error
	n.router, err = bridge.NewRouter(router)
	return err
}

// overKafka reports whether nodes reach each other through Kafka. A broker
// inside the process has no other node.
func (n *node) overKafka() bool {
	switch n.cfg.Bus {
	case config.BusKafka:
		return n.uplink != nil
	case config.BusAuto:
		return n.uplink != nil && n.broker == nil
	default:
		return false
	}
}

// busTask is the bus to other nodes.
type busTask struct {
	run    func(context.Context) error
	cancel context.CancelFunc
	done   chan struct{}
}

// startBus takes in what other nodes send, now that there is an engine to give
// it to.
func (n *node) startBus(context.Context) error {
	if n.bus == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.bus.cancel, n.bus.done = cancel, make(chan struct{})
	go func() {
		defer close(n.bus.done)
		if err := n.bus.run(ctx); err != nil {
			n.log.Error("the bus ended; other nodes are no longer reached", "err", err)
		}
	}()
	return nil
}

// stop ends the bus, also one that never ran; what it has is sent first.
func (b *busTask) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if b.done == nil {
		_ = b.run(ctx)
		return
	}
	b.cancel()
	<-b.done // bounded: the bus gives up what it cannot send in seconds
}

// serveV1 adds what services and operators use to the API.
func (n *node) serveV1() {
	node := gateway.NewNode(gateway.NodeConfig{
		Gateway: n.gateway, Router: n.router, Uplink: n.uplink,
		Node: n.cfg.Node, Incarnation: n.incarnation, Cluster: n.cluster(),
	})
	n.serveTable()
	n.api.HandleV1(node, api.V1Config{Token: n.cfg.APIToken, BroadcastRate: n.cfg.BroadcastRate})
}
