package main

import (
	"context"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/cluster"
	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/gateway"
	"github.com/limpet-gateway/limpet/registry/redisdir"
)

// startRouter makes what takes pushes to sessions, for the downlink and the
// API, and the bus to other nodes.
func (n *node) startRouter(ctx context.Context) error {
	var events gateway.Events
	if n.uplink != nil && n.cfg.Events {
		events = n.uplink.Event
	}
	router := routerConfig(&n.cfg, n.incarnation, n.gateway, events, n.log)
	router.Tracer = n.tracer()
	if n.directory != nil {
		router.Directory = cluster.New(n.directory.directory, n.table, n.cfg.Node)
	}
	if err := n.prepareBus(ctx, &router); err != nil {
		return err
	}
	var err error
	n.router, err = bridge.NewRouter(router)
	return err
}

// prepareBus gives router the bus to other nodes, if there is to be one.
func (n *node) prepareBus(ctx context.Context, router *bridge.RouterConfig) error {
	switch n.cfg.BusInUse() {
	case config.BusKafka:
		return n.prepareKafkaBus(ctx, router)
	case config.BusRedis:
		return n.prepareRedisBus(router)
	default:
		return nil
	}
}

func (n *node) prepareKafkaBus(ctx context.Context, router *bridge.RouterConfig) error {
	c := bridge.KafkaBusConfig{Kafka: n.kafka, Topics: bridge.NewTopics(n.cfg.TopicPrefix), Incarnation: n.incarnation}
	if n.directory != nil {
		c.Inboxes = n.directory.inboxes
	}
	bus, err := bridge.NewKafkaBus(ctx, c)
	if err != nil {
		return err
	}
	if n.directory != nil {
		n.directory.inboxes.Lease(redisdir.InboxTopic{
			Name: c.Topics.Inbox, Partitions: bus.InboxPartitions(), Changed: tellPart(&n.ready, "inbox"),
		})
	}
	router.Bus = bus
	n.bus = &busTask{run: func(ctx context.Context) error { return bus.Run(ctx, n.router) }, stats: bus.Stats, lag: bus.Lag}
	return nil
}

func (n *node) prepareRedisBus(router *bridge.RouterConfig) error {
	transport, err := redisdir.NewPubSub(redisdir.PubSubConfig{
		URL: n.cfg.Redis, CallTimeout: n.cfg.RedisTimeout, Log: n.log,
		Changed: tellPart(&n.ready, "bus"),
	})
	if err != nil {
		return badUsage(err)
	}
	bus := bridge.NewPubSubBus(transport, "lp:"+n.cfg.TopicPrefix, n.incarnation, n.log)
	router.Bus = bus
	n.bus = &busTask{run: func(ctx context.Context) error { return bus.Run(ctx, n.router, func() {}) }, stats: bus.Stats}
	return nil
}

// tellPart has /readyz say what a part of the way between nodes lacks.
func tellPart(ready *api.Readiness, part string) func(why error) {
	return func(why error) {
		trouble := ""
		if why != nil {
			trouble = why.Error()
		}
		ready.Set(part, trouble)
	}
}

// busTask is the bus to other nodes.
type busTask struct {
	run    func(context.Context) error
	stats  func() bridge.BusStats
	lag    func() []bridge.PartitionLag // nil without Kafka
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
