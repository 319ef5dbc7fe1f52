package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/limpet-gateway/limpet/internal/tracing"
)

// Limits of a downlink.
const (
	downlinkPoll        = 1000 // records of one poll
	downlinkCommitEvery = 250 * time.Millisecond
	topicLookEvery      = 2 * time.Second

	// A node that died is noticed by the group after this; its partitions
	// stand still until then. The broker's usual minimum is 6 s.
	defaultGroupTimeout = 10 * time.Second
)

// DownlinkConfig describes a downlink. Zero values mean the defaults.
type DownlinkConfig struct {
	Kafka  Kafka
	Topics Topics
	Router *Router

	// Local is for a node that is alone, in place of a router.
	Local Local

	// Group is the consumer group of all nodes; empty means the name of the
	// downlink topic.
	Group string
	// GroupTimeout is how long the group waits for a silent member.
	GroupTimeout time.Duration

	// Changed is told why this node takes no part in the group, and with nil that
	// it does again. It must not block. May be nil.
	Changed func(why error)
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
	if c.Changed == nil {
		c.Changed = func(error) {}
	}
	return c
}

// Validate reports every fault of c at once.
func (c DownlinkConfig) Validate() error {
	c = c.withDefaults()
	faults := []error{c.Kafka.Validate()}
	if c.Router == nil && c.Local == nil {
		faults = append(faults, errors.New("downlink: nobody to deliver to"))
	}
	if c.GroupTimeout < time.Second {
		faults = append(faults, fmt.Errorf("group timeout %v: want at least 1s", c.GroupTimeout))
	}
	return errors.Join(faults...)
}

// DownlinkStats is a snapshot of a downlink's counters.
type DownlinkStats struct {
	Records   uint64 // handed on
	Malformed uint64 // of those: no push, left out
}

// Downlink consumes the downlink topic as a member of the group of all nodes
// and hands its pushes on.
type Downlink struct {
	cfg    DownlinkConfig
	client *kgo.Client

	records, malformed atomic.Uint64
	member             member
	faults             faults
	lags               lags

	topic  topicIdentity // Run's
	looked time.Time     // Run's; when it was asked for last
}

// NewDownlink prepares a downlink; Run consumes. Where the group has no position
// yet, or has forgotten it, it begins with what is written from now on: older
// pushes were for sessions that are gone.
func NewDownlink(cfg DownlinkConfig) (*Downlink, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("downlink: %w", err)
	}
	if cfg.Router == nil {
		var err error
		if cfg.Router, err = NewRouter(RouterConfig{Local: cfg.Local, Logger: cfg.Kafka.Logger}); err != nil {
			return nil, fmt.Errorf("downlink: %w", err)
		}
	}
	if err := fixStart(cfg); err != nil {
		return nil, fmt.Errorf("downlink: %w", err)
	}
	d := &Downlink{cfg: cfg, member: member{group: cfg.Group, log: cfg.Kafka.logger(), changed: cfg.Changed}, faults: faults{log: cfg.Kafka.logger()}}
	client, err := cfg.Kafka.newClient(
		kgo.WithLogger(groupLogger{newKafkaLogger(cfg.Kafka.logger())}),
		kgo.OnPartitionsAssigned(d.member.joined),
		kgo.WithHooks(&d.member),
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(cfg.Topics.Downlink),
		// Every partition has a committed position (see fixStart); retention may
		// have passed it.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(cfg.GroupTimeout),
		kgo.HeartbeatInterval(cfg.GroupTimeout/5),
		kgo.RebalanceTimeout(max(3*cfg.GroupTimeout, 30*time.Second)),
		// Only what was handed on is marked, and a partition leaves this node
		// only between polls: nothing is committed before its hand-off.
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(downlinkCommitEvery),
		kgo.AutoCommitCallback(d.committed),
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxBytes(8<<20),
	)
	if err != nil {
		return nil, fmt.Errorf("downlink: %w", err)
	}
	d.client = client
	return d, nil
}

// fixStart commits the present end of every partition for which the group has
// no position. Left to the members it would be decided when a partition is
// first read: one that changes hands before its first commit would begin anew,
// and skip what was written meanwhile.
func fixStart(cfg DownlinkConfig) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	client, err := cfg.Kafka.newClient()
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, cfg.Topics.Downlink)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("offsets of %s: %w", cfg.Topics.Downlink, err)
	}
	var committed kadm.OffsetResponses
	err = retry(ctx, func() error {
		committed, err = admin.FetchOffsets(ctx, cfg.Group)
		return err
	})
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("positions of group %s: %w", cfg.Group, err)
	}
	begin := kadm.Offsets{}
	ends.Each(func(end kadm.ListedOffset) {
		if _, ok := committed.Lookup(end.Topic, end.Partition); !ok {
			begin.Add(kadm.Offset{Topic: end.Topic, Partition: end.Partition, At: end.Offset, LeaderEpoch: end.LeaderEpoch})
		}
	})
	if len(begin) == 0 {
		return nil
	}
	// Only a group without members takes it; with members they have done it.
	err = retry(ctx, func() error {
		responses, err := admin.CommitOffsets(ctx, cfg.Group, begin)
		if err == nil {
			err = responses.Error()
		}
		return err
	})
	if err != nil && !errors.Is(err, kerr.UnknownMemberID) {
		return fmt.Errorf("begin group %s: %w", cfg.Group, err)
	}
	return nil
}

// retry calls f until it succeeds, fails for good, or ctx ends: a cluster that
// has never had a group takes a while to find who coordinates it.
func retry(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || !kerr.IsRetriable(err) {
			return err
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return err
		}
	}
}

const retryPause = 100 * time.Millisecond

// Run consumes until ctx ends, commits what was handed on and leaves the
// group. It returns nil then. It is called once.
func (d *Downlink) Run(ctx context.Context) error {
	defer d.client.CloseAllowingRebalance()
	d.replaced(ctx) // only learns which topic it is
	for {
		fetches := d.poll(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return d.leave()
		}
		replaced, rest := d.faults.fetched(fetches)
		d.lags.fetched(fetches)
		records := fetches.Records()
		if _, err := d.cfg.Router.Route(ctx, d.pushes(records)); err != nil {
			if ctx.Err() != nil {
				return d.leave()
			}
			return fmt.Errorf("downlink: %w", err)
		}
		d.client.MarkCommitRecords(records...)
		d.records.Add(uint64(len(records)))
		d.lags.handedOn(fetches)
		d.client.AllowRebalance()
		if len(replaced) > 0 || d.replaced(ctx) {
			d.readAnew()
		}
		if rest && pause(ctx, faultPause) != nil {
			return d.leave()
		}
	}
}

// poll returns what has come, after topicLookEvery perhaps nothing.
func (d *Downlink) poll(ctx context.Context) kgo.Fetches {
	ctx, cancel := context.WithTimeout(ctx, topicLookEvery)
	defer cancel()
	fetches := d.client.PollRecords(ctx, downlinkPoll)
	if ctx.Err() != nil && fetches.NumRecords() == 0 {
		return nil // all that is in them is that the time is over
	}
	return fetches
}

// replaced asks Kafka from time to time whether the topic is still the one that
// is read. The client says so too, where it reads: after six fetches, with pauses
// that grow to five seconds. Partitions that come meanwhile from a node that has
// read anew begin with six of their own.
func (d *Downlink) replaced(ctx context.Context) bool {
	if time.Since(d.looked) < topicLookEvery {
		return false
	}
	d.looked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, healthAnswer)
	defer cancel()
	name := d.cfg.Topics.Downlink
	topics, err := kadm.NewClient(d.client).ListTopics(ctx, name)
	if err != nil || topics[name].Err != nil {
		return false // the uplink's Watch says so
	}
	return d.topic.changed(topics[name].ID) && d.faults.replaced(name)
}

// readAnew has the client forget the topic, which was deleted and made anew, and
// read what is in the new one, all of it. Kafka has forgotten the group's
// positions along with the old one.
func (d *Downlink) readAnew() {
	d.cfg.Kafka.logger().Warn("downlink: the topic was deleted and made anew, and is read from its beginning; what was not read of the old one is lost", "topic", d.cfg.Topics.Downlink)
	d.client.PurgeTopicsFromConsuming(d.cfg.Topics.Downlink)
	d.client.AddConsumeTopics(d.cfg.Topics.Downlink)
	d.topic = topicIdentity{}
}

// committed says what Kafka did not take of a commit.
func (d *Downlink) committed(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
	const msg = "downlink: positions cannot be committed, and are again at the next try"
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			d.faults.say(msg, d.cfg.Topics.Downlink, -1, err)
		}
		return
	}
	for _, topic := range response.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				d.faults.say(msg, topic.Topic, p.Partition, err)
			}
		}
	}
}

// pause waits, or returns why it could not.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pushes reads records and leaves out those that are none.
func (d *Downlink) pushes(records []*kgo.Record) []*Push {
	pushes := make([]*Push, 0, len(records))
	for _, r := range records {
		p, err := ParsePush(r)
		if err != nil {
			d.malformed.Add(1)
			d.cfg.Kafka.logger().Debug("downlink: record left out", "partition", r.Partition, "offset", r.Offset, "error", err)
			continue
		}
		// Offsets begin again where a topic is deleted and made anew.
		p.origin = fmt.Sprintf("%d/%d/%d", r.Partition, r.Offset, r.Timestamp.UnixMilli())
		parent, state := traceHeaders(r)
		p.Trace = d.cfg.Kafka.Tracer.Join(tracing.Service, parent, state)
		pushes = append(pushes, &p)
	}
	return pushes
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

// Stats may be called from any goroutine. What became of the pushes is in the
// router's.
func (d *Downlink) Stats() DownlinkStats {
	return DownlinkStats{Records: d.records.Load(), Malformed: d.malformed.Load()}
}

// Lag is how far this node is behind on each partition that it consumes now,
// as known from the last answers that had records. Any goroutine.
func (d *Downlink) Lag() []PartitionLag {
	assigned := map[topicPartition]bool{}
	for topic, partitions := range d.client.CommittedOffsets() {
		for n := range partitions {
			assigned[topicPartition{topic, n}] = true
		}
	}
	return d.lags.snapshot(assigned)
}

// Router is who the pushes are handed to.
func (d *Downlink) Router() *Router { return d.cfg.Router }
