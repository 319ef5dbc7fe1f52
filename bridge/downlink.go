package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Limits of a downlink.
const (
	downlinkPoll        = 1000 // records of one poll
	downlinkCommitEvery = 250 * time.Millisecond

	// How long a push of high priority waits for room in its loop's mailbox,
	// and how often it asks.
	defaultHandOff = time.Second
	handOffPause   = 2 * time.Millisecond

	// A node that died is noticed by the group after this; its partitions
	// stand still until then. The broker's usual minimum is 6 s.
	defaultGroupTimeout = 10 * time.Second
)

// DownlinkConfig describes a downlink. Zero values mean the defaults.
type DownlinkConfig struct {
	Kafka  Kafka
	Topics Topics
	Local  Local

	// Group is the consumer group of all nodes; empty means the name of the
	// downlink topic.
	Group string
	// GroupTimeout is how long the group waits for a silent member.
	GroupTimeout time.Duration
	// HandOff is how long a push of high priority waits for room.
	HandOff time.Duration
}

func (c DownlinkConfig) withDefaults() DownlinkConfig {
	if c.Topics == (Topics{}) {
		c.Topics = NewTopics(DefaultTopicPrefix)
	}
	if c.Group == "" {
		c.Group = c.Topics.Downlink
	}
	if c.GroupTimeout == 0 {
		c.GroupTimeout = defaultGroupTimeout
	}
	if c.HandOff == 0 {
		c.HandOff = defaultHandOff
	}
	return c
}

// Validate reports every fault of c at once.
func (c DownlinkConfig) Validate() error {
	c = c.withDefaults()
	faults := []error{c.Kafka.Validate()}
	if c.Local == nil {
		faults = append(faults, errors.New("downlink: nobody to deliver to"))
	}
	if c.GroupTimeout < time.Second {
		faults = append(faults, fmt.Errorf("group timeout %v: want at least 1s", c.GroupTimeout))
	}
	return errors.Join(faults...)
}

// DownlinkStats is a snapshot of a downlink's counters.
type DownlinkStats struct {
	Records   uint64 // consumed
	Delivered uint64 // sessions that a push was handed to
	Offline   uint64 // pushes that found no session
	Full      uint64 // sessions whose loop had no room
	Expired   uint64 // pushes older than their ttl
	Malformed uint64 // records that are no push
}

// Downlink consumes the downlink topic as a member of the group of all nodes
// and hands its pushes on.
type Downlink struct {
	cfg    DownlinkConfig
	client *kgo.Client

	records, delivered, offline, full, expired, malformed atomic.Uint64
}

// NewDownlink prepares a downlink; Run consumes. A group that has never
// committed begins with what is written from now on: older pushes were for
// sessions that are gone.
func NewDownlink(cfg DownlinkConfig) (*Downlink, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("downlink: %w", err)
	}
	client, err := cfg.Kafka.newClient(
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(cfg.Topics.Downlink),
		kgo.ConsumeResetOffset(kgo.NewOffset().AfterMilli(time.Now().UnixMilli())),
		kgo.SessionTimeout(cfg.GroupTimeout),
		kgo.HeartbeatInterval(cfg.GroupTimeout/5),
		kgo.RebalanceTimeout(max(3*cfg.GroupTimeout, 30*time.Second)),
		// Only what was handed on is marked, and a partition leaves this node
		// only between polls: nothing is committed before its hand-off.
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(downlinkCommitEvery),
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxBytes(8<<20),
	)
	if err != nil {
		return nil, fmt.Errorf("downlink: %w", err)
	}
	return &Downlink{cfg: cfg, client: client}, nil
}

// Run consumes until ctx ends, commits what was handed on and leaves the
// group. It returns nil then. It is called once.
func (d *Downlink) Run(ctx context.Context) error {
	defer d.client.CloseAllowingRebalance()
	for {
		fetches := d.client.PollRecords(ctx, downlinkPoll)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return d.leave()
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			d.cfg.Kafka.logger().Warn("downlink: fetch failed", "topic", topic, "partition", partition, "error", err)
		})
		fetches.EachRecord(func(r *kgo.Record) {
			d.handle(ctx, r)
			d.client.MarkCommitRecords(r)
		})
		d.client.AllowRebalance()
	}
}

// leave commits what is marked. The time for it is bounded: without the commit
// another node sees the same pushes once more.
func (d *Downlink) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeoutOverhead+defaultProduceTimeout)
	defer cancel()
	if err := d.client.CommitMarkedOffsets(ctx); err != nil {
		return fmt.Errorf("downlink: commit: %w", err)
	}
	return nil
}

func (d *Downlink) handle(ctx context.Context, r *kgo.Record) {
	d.records.Add(1)
	p, err := ParsePush(r)
	if err != nil {
		d.malformed.Add(1)
		d.cfg.Kafka.logger().Debug("downlink: skipped", "partition", r.Partition, "offset", r.Offset, "error", err)
		return
	}
	if p.Expired(time.Now()) {
		d.expired.Add(1)
		return
	}
	out := handOff(ctx, d.cfg.Local, &p, d.cfg.HandOff)
	d.delivered.Add(uint64(out.Delivered))
	d.offline.Add(uint64(out.Offline))
	d.full.Add(uint64(out.Full))
}

// handOff delivers p. A push of high priority to one principal or session that
// met a full mailbox is tried again for a while: the loop is behind, the
// session is well. One for many is not, since some of them have it already.
func handOff(ctx context.Context, local Local, p *Push, patience time.Duration) Outcome {
	out := deliver(local, p)
	if p.Priority != session.High || p.To.Kind > ToSession {
		return out
	}
	for until := time.Now().Add(patience); out.Full > 0 && out.Delivered == 0 && time.Now().Before(until); {
		select {
		case <-time.After(handOffPause):
		case <-ctx.Done():
			return out
		}
		out = deliver(local, p)
	}
	return out
}

// Stats may be called from any goroutine.
func (d *Downlink) Stats() DownlinkStats {
	return DownlinkStats{
		Records: d.records.Load(), Delivered: d.delivered.Load(), Offline: d.offline.Load(),
		Full: d.full.Load(), Expired: d.expired.Load(), Malformed: d.malformed.Load(),
	}
}
