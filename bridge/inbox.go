package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Inboxes says which node reads which partition of the inbox topic. A
// partition is leased to one living node at most. Its methods may be called from
// any goroutine.
type Inboxes interface {
	// Mine returns the partition leased to this node; ok is false while there
	// is none.
	Mine() (partition int32, ok bool)
	// Changed receives a value when Mine may have changed.
	Changed() <-chan struct{}
	// Of returns the partition of an incarnation, as it was seen last: NoInbox
	// for a node that lives and has none, alive false for one that does not. It
	// does not wait for a server to tell of a node that was seen. An error
	// means that nothing is known at the moment.
	Of(ctx context.Context, incarnation uint64) (partition int32, alive bool, err error)
	// Look brings what Of knows up to date.
	Look(ctx context.Context) error
}

// NoInbox stands for no partition.
const NoInbox = -1

// Limits of what has to do with inboxes.
const (
	inboxTimeout = 500 * time.Millisecond // for one question to Inboxes
	inboxRetry   = time.Second            // between tries to take up a partition
)

// inbox is where a bus reads what is for its node alone.
type inbox struct {
	// Written by follow, which runs on one goroutine, under KafkaBus.mu.
	reading int32 // the partition, or NoInbox

	// Guarded by KafkaBus.mu.
	last int32 // partition that was read last
	next int64 // offset that follows the last record that was read of it
}

// follow reads the partition that is leased to this node, whichever it is, and
// topics that were made anew, until ctx ends.
func (b *KafkaBus) follow(ctx context.Context) {
	var changed <-chan struct{}
	if b.cfg.Inboxes != nil {
		changed = b.cfg.Inboxes.Changed()
	}
	for {
		var again <-chan time.Time
		if err := b.takeUp(ctx); err != nil && ctx.Err() == nil {
			b.faults.say("bus: the inbox cannot be read yet", b.cfg.Topics.Inbox, b.inbox.reading, err)
			again = time.After(inboxRetry)
		}
		select {
		case <-ctx.Done():
			return
		case topic := <-b.replaced:
			b.readAnew(topic)
		case <-changed:
		case <-again:
		}
	}
}

// tellReplaced has follow read a topic that was made anew. Any goroutine.
func (b *KafkaBus) tellReplaced(topic string) {
	select {
	case b.replaced <- topic:
	default: // the client forgets it soon
	}
}

// readAnew has the client forget a topic, which was deleted and made anew, and
// read what is in the new one, all of it. What was sent and not acknowledged
// fails.
func (b *KafkaBus) readAnew(topic string) {
	b.cfg.Kafka.logger().Warn("bus: a topic was deleted and made anew, and is read from its beginning; pushes that were under way are lost", "topic", topic)
	b.client.PurgeTopicsFromClient(topic)
	partition := int32(broadcastPartition)
	if topic == b.cfg.Topics.Inbox {
		b.mu.Lock()
		partition, b.inbox.next = b.inbox.reading, 0
		b.mu.Unlock()
	}
	if partition != NoInbox {
		b.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}})
	}
}

// takeUp has the leased partition read. A partition that this node has had
// last is read on from where it was; of another one nothing is read that was
// written before: that was for somebody else.
func (b *KafkaBus) takeUp(ctx context.Context) error {
	if b.cfg.Inboxes == nil {
		return nil
	}
	mine, ok := b.cfg.Inboxes.Mine()
	if !ok {
		mine = NoInbox
	}
	was := b.inbox.reading
	if mine == was {
		return nil
	}
	topic := b.cfg.Topics.Inbox
	if was != NoInbox {
		b.client.RemoveConsumePartitions(map[string][]int32{topic: {was}})
		b.mu.Lock()
		b.inbox.reading = NoInbox
		b.mu.Unlock()
	}
	if mine == NoInbox {
		return nil
	}
	from, err := b.inboxStart(ctx, mine)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.inbox.last, b.inbox.next, b.inbox.reading = mine, from, mine
	b.mu.Unlock()
	b.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {mine: kgo.NewOffset().At(from)}})
	return nil
}

// inboxStart returns the offset from which partition is to be read.
func (b *KafkaBus) inboxStart(ctx context.Context, partition int32) (int64, error) {
	b.mu.Lock()
	last, next := b.inbox.last, b.inbox.next
	b.mu.Unlock()
	if partition == last {
		return next, nil
	}
	if last == NoInbox && int(partition) < len(b.ends) && time.Since(b.opened) < startTimeout {
		return b.ends[partition], nil // this includes what came while it was asked for
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	topic := b.cfg.Topics.Inbox
	ends, err := kadm.NewClient(b.client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("offsets of %s: %w", topic, err)
	}
	end, ok := ends.Lookup(topic, partition)
	if !ok {
		return 0, fmt.Errorf("topic %s has no partition %d", topic, partition)
	}
	return end.Offset, nil
}

// read notes how far the inbox has been read.
func (b *KafkaBus) read(records []*kgo.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		if r.Topic == b.cfg.Topics.Inbox && r.Partition == b.inbox.last {
			b.inbox.next = r.Offset + 1
		}
	}
}

// forward puts p, which is for the node to, where that node alone reads it, or
// where all do: then the others leave it alone.
func (b *KafkaBus) forward(ctx context.Context, to uint64, p *Push, done func(error)) {
	addressed := *p
	addressed.node = to
	if b.cfg.Inboxes == nil {
		b.toAll(ctx, &addressed, done)
		return
	}
	asking, cancel := context.WithTimeout(ctx, inboxTimeout)
	defer cancel()
	partition, alive, err := b.cfg.Inboxes.Of(asking, to)
	switch {
	case err == nil && !alive:
		done(fmt.Errorf("inbox of node %016x: %w", to, ErrNodeGone))
	case err != nil || partition == NoInbox || !b.knows(partition):
		b.unleased.Add(1)
		b.toAll(ctx, &addressed, done)
	default:
		b.produce(ctx, b.cfg.Topics.Inbox, partition, &addressed, done)
	}
}

// knows reports whether the client can produce to a partition of the inbox. One
// that was added after the client had met the topic it has to ask for first, and
// by itself would do so within minutes only; until then it fails what is for it.
func (b *KafkaBus) knows(partition int32) bool {
	if int(partition) < len(b.ends) || b.met(partition) {
		return true
	}
	if !b.met(0) { // nor the topic: it meets it as it is now
		return true
	}
	b.client.ForceMetadataRefresh()
	return false
}

// met reports whether the client has been told of a partition of the inbox.
func (b *KafkaBus) met(partition int32) bool {
	leader, _, err := b.client.PartitionLeader(b.cfg.Topics.Inbox, partition)
	return leader >= 0 || err != nil
}

// stray is a push that was read from an inbox and is for another node.
type stray struct {
	push      *Push
	partition int32
}

// settleStrays deals with what was meant for a former owner of this node's
// inbox. Only the present owner may, whoever else still reads it: so what is
// known of the leases is brought up to date first, and a node that has slept
// through the end of its own leaves everything alone.
func (b *KafkaBus) settleStrays(ctx context.Context, router *Router, strays []stray) error {
	asking, cancel := context.WithTimeout(ctx, inboxTimeout)
	defer cancel()
	mine, alive := int32(NoInbox), false
	err := b.cfg.Inboxes.Look(asking)
	if err == nil {
		mine, alive, err = b.cfg.Inboxes.Of(asking, b.cfg.Incarnation)
	}
	var orphans []*Push
	for _, s := range strays {
		if err != nil || !alive || s.partition != mine {
			b.ignored.Add(1)
			continue
		}
		_, lives, err := b.cfg.Inboxes.Of(asking, s.push.node)
		switch {
		case err == nil && !lives && !s.push.spread: // its session may have come here, or gone elsewhere
			orphans = append(orphans, s.push)
		case err == nil && !lives, s.push.hops >= maxHops: // the nodes that live have it, or nobody wants it
			b.ignored.Add(1)
		default:
			s.push.hops++
			b.forward(ctx, s.push.node, s.push, func(err error) {
				if err != nil {
					b.ignored.Add(1)
				}
			})
		}
	}
	b.followed.Add(uint64(len(orphans)))
	return router.Arrived(ctx, orphans)
}
