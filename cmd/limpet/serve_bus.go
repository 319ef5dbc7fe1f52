package main

import (
	"context"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/registry/redisdir"
)

// prepareBus gives router the bus to other nodes, if there is to be one.
func (n *node) prepareBus(ctx context.Context, router *bridge.RouterConfig) error {
	if !n.overKafka() {
		return nil
	}
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
			Name: c.Topics.Inbox, Partitions: bus.InboxPartitions(), Changed: func(why error) { reportInbox(&n.ready, why) },
		})
	}
	router.Bus = bus
	n.bus = &busTask{run: func(ctx context.Context) error { return bus.Run(ctx, n.router) }, stats: bus.Stats, lag: bus.Lag}
	return nil
}

// reportInbox has /readyz say that pushes for this node go to all nodes. It
// stays ready: they arrive.
func reportInbox(ready *api.Readiness, why error) {
	if why == nil {
		ready.Restore("inbox")
	} else {
		ready.Degrade("inbox", why.Error())
	}
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
	stats  func() bridge.BusStats
	lag    func() []bridge.PartitionLag
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
