package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Inboxes says which node consumes which partition of the inbox topic. A lease
// is never shared: a partition belongs to one living incarnation at most.
type Inboxes interface {
	// Claim leases a free partition below n to this node's incarnation.
	Claim(ctx context.Context, n int32) (int32, error)
	// Of returns the partition of an incarnation; ok is false when no such
	// node lives.
	Of(ctx context.Context, incarnation uint64) (partition int32, ok bool, err error)
}

// Limits of the bus.
const (
	busPoll       = 1000 // records of one poll
	busBuffered   = 16 << 20
	inboxTimeout  = 500 * time.Millisecond // for one question to Inboxes
	inboxesKept   = 4096                   // answers remembered
	busCloseAfter = 5 * time.Second        // what is not produced then is lost
)

// KafkaBusConfig describes a bus over Kafka.
type KafkaBusConfig struct {
	Kafka   Kafka
	Topics  Topics
	Inboxes Inboxes // nil: no node can be reached alone, everything goes to all
}

// KafkaBus is the bus over the topics inbox and broadcast. A push is in Kafka,
// acknowledged by all replicas, before done is called with nil; the node that
// it is for reads it from its own partition, each broadcast is read by all.
//
// Reading begins with what is written from the start of Run: what was there
// before is for sessions that are gone.
type KafkaBus struct {
	cfg        KafkaBusConfig
	client     *kgo.Client
	broadcasts int32 // partitions of the broadcast topic

	known sync.Map // incarnation → partition: neither changes while the node lives
	kept  atomic.Int64

	malformed atomic.Uint64
}

// NewKafkaBus connects to Kafka, leases an inbox and fixes where reading
// begins, so that nothing that is sent to this node from now on is missed. The
// topics must exist.
func NewKafkaBus(ctx context.Context, cfg KafkaBusConfig) (*KafkaBus, error) {
	if cfg.Topics == (Topics{}) {
		cfg.Topics = NewTopics(DefaultTopicPrefix)
	}
	client, err := cfg.Kafka.newClient(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0), // each push is waited for
		kgo.ProduceRequestTimeout(defaultProduceTimeout),
		kgo.MaxBufferedBytes(busBuffered),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	b := &KafkaBus{cfg: cfg, client: client}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := b.open(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("bus: %w", err)
	}
	return b, nil
}

func (b *KafkaBus) open(ctx context.Context) error {
	topics := b.cfg.Topics
	ends, err := kadm.NewClient(b.client).ListEndOffsets(ctx, topics.Inbox, topics.Broadcast)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("offsets of %s and %s: %w", topics.Inbox, topics.Broadcast, err)
	}
	from := map[string]map[int32]kgo.Offset{topics.Broadcast: {}}
	for partition, end := range ends[topics.Broadcast] {
		from[topics.Broadcast][partition] = kgo.NewOffset().At(end.Offset)
		b.broadcasts++
	}
	if b.cfg.Inboxes != nil {
		mine, err := b.cfg.Inboxes.Claim(ctx, int32(len(ends[topics.Inbox])))
		if err != nil {
			return fmt.Errorf("lease a partition of %s: %w", topics.Inbox, err)
		}
		from[topics.Inbox] = map[int32]kgo.Offset{mine: kgo.NewOffset().At(ends[topics.Inbox][mine].Offset)}
	}
	b.client.AddConsumePartitions(from)
	return nil
}

// Run gives what arrives to router until ctx ends, then sends what is under
// way and returns nil. It is called once, and ends the bus.
func (b *KafkaBus) Run(ctx context.Context, router *Router) error {
	defer b.close()
	for {
		fetches := b.client.PollRecords(ctx, busPoll)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			b.cfg.Kafka.logger().Warn("bus: fetch failed", "topic", topic, "partition", partition, "error", err)
		})
		if err := router.Arrived(ctx, b.pushes(fetches.Records())); err != nil && ctx.Err() == nil {
			// What followed a principal that moved is lost: pushes are
			// delivered at most once.
			b.cfg.Kafka.logger().Warn("bus: pushes were lost", "error", err)
		}
	}
}

func (b *KafkaBus) close() {
	ctx, cancel := context.WithTimeout(context.Background(), busCloseAfter)
	defer cancel()
	if err := b.client.Flush(ctx); err != nil {
		b.cfg.Kafka.logger().Warn("bus: pushes are not in Kafka", "error", err)
	}
	b.client.Close()
}

func (b *KafkaBus) pushes(records []*kgo.Record) []*Push {
	pushes := make([]*Push, 0, len(records))
	for _, r := range records {
		p, err := parseBusRecord(r)
		if err != nil {
			b.malformed.Add(1)
			continue
		}
		p.spread = p.spread || r.Topic == b.cfg.Topics.Broadcast
		pushes = append(pushes, p)
	}
	return pushes
}

// Forward implements Bus.
func (b *KafkaBus) Forward(to uint64, p *Push, done func(error)) {
	if b.cfg.Inboxes == nil {
		b.Broadcast(p, done)
		return
	}
	partition, err := b.inboxOf(to)
	if err != nil {
		done(err)
		return
	}
	b.produce(b.cfg.Topics.Inbox, partition, p, done)
}

// Broadcast implements Bus.
func (b *KafkaBus) Broadcast(p *Push, done func(error)) {
	b.produce(b.cfg.Topics.Broadcast, int32(fnv32(p.To.String())%uint32(b.broadcasts)), p, done)
}

func (b *KafkaBus) produce(topic string, partition int32, p *Push, done func(error)) {
	r := p.busRecord(topic, time.Now())
	r.Partition = partition
	// Produce waits while the buffer is full: the downlink then reads no more.
	b.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
		switch {
		case errors.Is(err, kgo.ErrClientClosed):
			err = ErrBusClosed
		case err != nil:
			b.cfg.Kafka.logger().Warn("bus: kafka does not take a push", "to", p.To.String(), "bytes", len(p.Payload), "error", err)
		}
		done(err)
	})
}

// inboxOf returns the partition of a node. While the answer cannot be had the
// node counts as gone.
func (b *KafkaBus) inboxOf(incarnation uint64) (int32, error) {
	if partition, ok := b.known.Load(incarnation); ok {
		return partition.(int32), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), inboxTimeout)
	defer cancel()
	partition, ok, err := b.cfg.Inboxes.Of(ctx, incarnation)
	switch {
	case err != nil:
		return 0, fmt.Errorf("inbox of node %016x: %w: %w", incarnation, ErrNodeGone, err)
	case !ok:
		return 0, fmt.Errorf("inbox of node %016x: %w", incarnation, ErrNodeGone)
	}
	if b.kept.Add(1) > inboxesKept {
		b.known.Clear() // dead nodes have piled up
		b.kept.Store(1)
	}
	b.known.Store(incarnation, partition)
	return partition, nil
}

// fnv32 is the FNV-1a hash.
func fnv32(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
