package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"
)

// Limits of the bus.
const (
	busPoll       = 1000            // records of one poll
	busBuffered   = 16 << 20        // bytes that Kafka has not acknowledged; whoever has more waits
	busOverhead   = 1 << 10         // what a record counts for beside its payload
	busCloseAfter = 5 * time.Second // what is not produced then is lost

	// broadcastPartition is the one partition of the broadcast topic that is used,
	// however many there are: of those that are added later, a node that started
	// earlier would read nothing.
	broadcastPartition = 0

	// A partition that is added while a broker holds back the answer to a fetch
	// is read only after that, so a broker without news answers after this.
	busFetchWait = 250 * time.Millisecond
)

// KafkaBusConfig describes a bus over Kafka.
type KafkaBusConfig struct {
	Kafka  Kafka
	Topics Topics

	// Incarnation is this node's, by which the others call it.
	Incarnation uint64
	// Inboxes says who reads what of the inbox topic; nil: nobody knows, and
	// what is for one node goes to all.
	Inboxes Inboxes
}

// KafkaBus is the bus over the topics inbox and broadcast. A push is in Kafka,
// acknowledged by all replicas, before done is called with nil; the node that
// it is for reads it from its own partition, each broadcast is read by all.
//
// Reading begins with what is written from the start of Run: what was there
// before is for sessions that are gone.
type KafkaBus struct {
	// Fixed after open.
	cfg    KafkaBusConfig
	client *kgo.Client
	opened time.Time
	ends   []int64 // of the partitions of the inbox topic, when the bus opened

	room     *semaphore.Weighted // of busBuffered; safe from anywhere
	replaced chan string         // a topic that was deleted and made anew; holds one for each
	faults   faults

	mu    sync.Mutex // guards what inbox says
	inbox inbox
	lags  lags

	malformed, unleased, ignored, followed atomic.Uint64
}

// NewKafkaBus connects to Kafka and fixes where reading begins, so that nothing
// that is sent to this node from now on is missed. The topics must exist.
func NewKafkaBus(ctx context.Context, cfg KafkaBusConfig) (*KafkaBus, error) {
	if cfg.Topics == (Topics{}) {
		cfg.Topics = NewTopics(DefaultTopicPrefix)
	}
	if cfg.Incarnation == 0 {
		return nil, errors.New("bus: a node among others needs an incarnation")
	}
	client, err := cfg.Kafka.newClient(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0), // each push is waited for
		kgo.FetchMaxWait(busFetchWait),
		kgo.ProduceRequestTimeout(defaultProduceTimeout),
		kgo.MaxBufferedRecords(busBuffered/busOverhead+1), // never met: see produce
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		// Where a topic was made anew: what is in it already is not for now.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
	)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	b := &KafkaBus{cfg: cfg, client: client, opened: time.Now(), room: semaphore.NewWeighted(busBuffered),
		replaced: make(chan string, 2), faults: faults{log: cfg.Kafka.logger()}, inbox: inbox{reading: NoInbox, last: NoInbox}}
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
	b.ends = make([]int64, len(ends[topics.Inbox]))
	for partition, end := range ends[topics.Inbox] {
		b.ends[partition] = end.Offset
	}
	end, ok := ends.Lookup(topics.Broadcast, broadcastPartition)
	if !ok {
		return fmt.Errorf("topic %s has no partition %d", topics.Broadcast, broadcastPartition)
	}
	b.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topics.Broadcast: {broadcastPartition: kgo.NewOffset().At(end.Offset)}})
	return nil
}

// InboxPartitions is how many nodes can have an inbox.
func (b *KafkaBus) InboxPartitions() int { return len(b.ends) }

// Run gives what arrives to router until ctx ends, then sends what is under
// way and returns nil. It is called once, and ends the bus.
func (b *KafkaBus) Run(ctx context.Context, router *Router) error {
	defer b.close()
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { b.follow(ctx) })
	for {
		fetches := b.client.PollRecords(ctx, busPoll)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		replaced, rest := b.faults.fetched(fetches)
		for _, topic := range replaced {
			b.tellReplaced(topic)
		}
		b.lags.fetched(fetches)
		records := fetches.Records()
		b.read(records)
		pushes, strays := b.pushes(records)
		err := router.Arrived(ctx, pushes)
		if len(strays) > 0 {
			err = errors.Join(err, b.settleStrays(ctx, router, strays))
		}
		if err != nil && ctx.Err() == nil {
			// What followed a principal that moved is lost: pushes are
			// delivered at most once.
			b.cfg.Kafka.logger().Warn("bus: pushes were lost", "error", err)
		}
		b.lags.handedOn(fetches)
		if rest && pause(ctx, faultPause) != nil {
			return nil
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

// pushes reads records: those that this node takes, and those of an inbox that
// are for another one.
func (b *KafkaBus) pushes(records []*kgo.Record) (mine []*Push, strays []stray) {
	for _, r := range records {
		p, err := parseBusRecord(r)
		if err != nil {
			b.malformed.Add(1)
			continue
		}
		elsewhere := p.node != 0 && p.node != b.cfg.Incarnation
		switch {
		case r.Topic == b.cfg.Topics.Broadcast && elsewhere:
		case elsewhere:
			strays = append(strays, stray{p, r.Partition})
		default:
			// One that all read and that names no node is everybody's: to find
			// no session is nothing to report.
			p.spread = p.spread || r.Topic == b.cfg.Topics.Broadcast && p.node == 0
			mine = append(mine, p)
		}
	}
	return mine, strays
}

// Forward implements Bus.
func (b *KafkaBus) Forward(ctx context.Context, to uint64, p *Push, done func(error)) {
	b.forward(ctx, to, p, done)
}

// Broadcast implements Bus.
func (b *KafkaBus) Broadcast(ctx context.Context, p *Push, done func(error)) {
	everybodys := *p
	everybodys.node = 0 // of one that came by an inbox
	b.toAll(ctx, &everybodys, done)
}

// toAll puts p where every node reads it, also what is for one of them.
func (b *KafkaBus) toAll(ctx context.Context, p *Push, done func(error)) {
	b.produce(ctx, b.cfg.Topics.Broadcast, broadcastPartition, p, done)
}

// produce hands p to the client, and waits for room while Kafka is behind: the
// downlink then reads no more. The caller's context bounds that wait and no
// more. The client is not given it: a context that ends while no broker answers
// fails everything that is buffered for the partition, also what others sent,
// who would wait.
func (b *KafkaBus) produce(ctx context.Context, topic string, partition int32, p *Push, done func(error)) {
	size := min(int64(len(p.Payload))+busOverhead, busBuffered)
	if b.room.Acquire(ctx, size) != nil {
		done(ErrBusClosed)
		return
	}
	r := p.busRecord(topic, time.Now())
	r.Partition = partition
	b.client.TryProduce(context.Background(), r, func(_ *kgo.Record, err error) {
		b.room.Release(size)
		switch {
		case errors.Is(err, kgo.ErrClientClosed):
			err = ErrBusClosed
		case err != nil:
			if errors.Is(err, kerr.UnknownTopicID) && b.faults.replaced(topic) {
				b.tellReplaced(topic)
			}
			b.faults.say("bus: kafka does not take a push", topic, partition, err)
		}
		done(err)
	})
}

// Stats may be called from any goroutine.
func (b *KafkaBus) Stats() BusStats {
	return BusStats{Malformed: b.malformed.Load(), Unleased: b.unleased.Load(), Ignored: b.ignored.Load(), Followed: b.followed.Load()}
}

// Lag is how far this node is behind on its inbox and on the broadcasts, as
// known from the last answers that had records. Any goroutine.
func (b *KafkaBus) Lag() []PartitionLag {
	assigned := map[topicPartition]bool{{b.cfg.Topics.Broadcast, broadcastPartition}: true}
	b.mu.Lock()
	if n := b.inbox.reading; n != NoInbox {
		assigned[topicPartition{b.cfg.Topics.Inbox, n}] = true
	}
	b.mu.Unlock()
	return b.lags.snapshot(assigned)
}
