package main

import (
	"context"
	"sync"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/embedded"
	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/gateway"
	"github.com/limpet-gateway/limpet/internal/session"
)

// startKafka connects the uplink, to the embedded broker if no other is given.
func (n *node) startKafka(ctx context.Context) error {
	switch n.cfg.Uplink {
	case config.UplinkEcho:
		n.gateway.SetUplink(gateway.Echo)
		return nil
	case config.UplinkDiscard:
		n.gateway.SetUplink(gateway.Discard)
		return nil
	}
	brokers := n.cfg.Kafka
	if len(brokers) == 0 {
		var err error
		broker := brokerConfig(&n.cfg, n.engine.Limits().ForOthers, n.log)
		n.fitBroker(&broker)
		if n.broker, err = embedded.Start(broker); err != nil {
			return err
		}
		brokers = []string{n.broker.Addr()}
	}
	n.kafka = kafkaConfig(&n.cfg, brokers, n.log)
	n.kafka.Traffic = &n.traffic
	n.kafka.Tracer = n.tracer()
	uplink, err := uplinkConfig(&n.cfg, n.kafka)
	if err != nil {
		return err
	}
	n.fitUplink(&uplink)
	uplink.OnRejected = func(id session.ID, priority session.Priority, err error) {
		n.log.Warn("Kafka rejected a message for good", "session", id, "priority", priority.String(), "err", err)
		if priority == session.High {
			_ = n.engine.CloseSession(id, session.MessageTooBig) // gone is as good
		}
	}
	if n.uplink, err = bridge.NewUplink(ctx, uplink); err != nil {
		return err
	}
	n.gateway.SetUplink(gateway.Kafka(n.uplink))
	if n.cfg.Events {
		n.gateway.SetEvents(n.uplink.Event)
	}
	return nil
}

// fitUplink keeps what waits for Kafka within its part of the budget, as long
// as the largest messages still fit.
func (n *node) fitUplink(c *bridge.UplinkConfig) {
	configured, limit := c.BufferedBytes, gateway.UplinkLimit(n.memory.Budget, n.broker != nil)
	if c.BufferedBytes = min(configured, max(limit, c.LeastBufferedBytes())); c.BufferedBytes < configured {
		n.log.Info("uplink-buffer is too large a part of memory-budget; less is used", "uplink_buffer", configured, "used", c.BufferedBytes)
	}
}

// fitBroker keeps the embedded broker's log within its part of the budget,
// where its size was not configured.
func (n *node) fitBroker(c *embedded.Config) {
	if c.DataDir == "" {
		if c.MaxBytes == 0 {
			c.MaxBytes = min(embedded.DefaultMaxBytesMemory, max(gateway.BrokerLimit(n.memory.Budget), embedded.MinMaxBytes))
		}
		return
	}
	limit := max(gateway.BrokerDiskLimit(n.memory.Budget), embedded.MinMaxBytes)
	if c.MaxBytes == 0 {
		c.MaxBytes = min(embedded.DefaultMaxBytesDisk, limit)
	} else if c.MaxBytes > limit {
		n.log.Warn("broker-size is a large part of memory-budget: a start after a kill reads the whole log into memory",
			"broker_size", c.MaxBytes, "advised", limit)
	}
}

// downlinkTask is the running downlink.
type downlinkTask struct {
	*bridge.Downlink
	cancel context.CancelFunc
	done   chan struct{}
}

func (n *node) startDownlink(context.Context) error {
	if n.uplink == nil {
		return nil
	}
	tell := tellPart(&n.ready, "downlink")
	c := downlinkConfig(&n.cfg, n.kafka, n.router)
	c.Changed = tell
	down, err := bridge.NewDownlink(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.downlink = &downlinkTask{down, cancel, make(chan struct{})}
	var tasks sync.WaitGroup
	tasks.Go(func() { n.uplink.Watch(ctx, func(trouble string) { n.ready.Set("kafka", trouble) }) })
	go func() {
		defer close(n.downlink.done)
		defer tasks.Wait()
		if err := down.Run(ctx); err != nil {
			n.log.Error("the downlink ended; pushes through Kafka no longer arrive", "err", err)
			tell(err)
		}
	}()
	return nil
}
