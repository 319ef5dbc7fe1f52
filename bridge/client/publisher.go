package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Publisher writes many pushes over one client. It is safe for concurrent
// use.
type Publisher struct {
	client *kgo.Client
	topic  string

	mu     sync.Mutex
	failed error // guarded by mu: the first one
}

// NewPublisher connects to the brokers. Close it when done.
func NewPublisher(ctx context.Context, brokers []string, topics bridge.Topics) (*Publisher, error) {
	client, err := newClient(brokers, kgo.ProducerLinger(0), kgo.RecordDeliveryTimeout(produceTimeout),
		kgo.AllowIdempotentProduceCancellation())
	if err != nil {
		return nil, err
	}
	if err := reachable(ctx, client, brokers, topics.Downlink); err != nil {
		client.Close()
		return nil, err
	}
	return &Publisher{client: client, topic: topics.Downlink}, nil
}

// Send hands p to Kafka without waiting for the acknowledgement, and blocks
// while the client's buffer is full. p's payload is kept until then. It
// returns the first error of any earlier push.
func (p *Publisher) Send(ctx context.Context, push *bridge.Push) error {
	p.client.Produce(ctx, push.Record(p.topic, time.Now()), func(_ *kgo.Record, err error) {
		if err == nil {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.failed == nil {
			p.failed = fmt.Errorf("write to %s: %w", p.topic, err)
		}
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// Close drops what Kafka has not acknowledged and ends the client.
func (p *Publisher) Close() { p.client.Close() }
