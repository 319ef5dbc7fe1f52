package bridge

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A topic that somebody deletes under load is made again, and what was not
// acknowledged goes there; what was acknowledged went with the topic.
//
// Non-obvious: a client sticks to the id that a topic had when it met it, so
// it has to forget a topic that was replaced. Purging the topic would do so, and
// lose messages: the client then counts from sequence 0 again, under the same
// producer id and epoch, unless it has an unanswered batch. A partition that
// has sequence 0 of this producer, because another worker was faster or a record
// got through before the replacement was noticed, takes what follows for a
// repetition: it acknowledges it and writes nothing. 850 of 1,000 acknowledged
// records were read once. A new client has a producer id of its own.

// restoreTopics creates the topics again if one of items failed because its
// topic is gone, and takes a new client if one was replaced. It returns false
// when the uplink stops.
func (u *Uplink) restoreTopics(items []*item) bool {
	var gone, replaced bool
	seen := u.renewals.Load()
	for _, it := range items {
		gone = gone || errors.Is(it.err, kerr.UnknownTopicOrPartition)
		// What an older client failed says nothing of the present one.
		replaced = replaced || errors.Is(it.err, kerr.UnknownTopicID) && it.renewals == seen
	}
	if gone && !u.cfg.KeepTopics {
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeoutOverhead+u.cfg.ProduceTimeout)
		defer cancel()
		if err := ensureTopics(ctx, u.client.Load(), u.cfg.Topics.Specs(u.cfg.Partitions, u.cfg.InboxPartitions)); err != nil {
			u.cfg.Kafka.logger().Error("a topic is gone and cannot be created", "error", err)
		}
	}
	return !replaced || u.renew(seen)
}

// renew replaces the client that was there after seen renewals, while no worker
// produces: what fails by it is known to have failed before anything newer is
// produced. It returns false when the uplink stops.
func (u *Uplink) renew(seen uint32) bool {
	u.gate.Lock()
	defer u.gate.Unlock()
	if u.renewals.Load() != seen {
		return true // another worker was faster
	}
	next, err := u.newClient()
	if err != nil { // the options are those of the first one
		u.cfg.Kafka.logger().Error("no new Kafka client", "error", err)
		return true
	}
	old := u.client.Swap(next)
	u.renewals.Add(1)
	old.Close() // fails what it still has, through the call-backs
	for _, w := range u.workers {
		if !w.quiet() {
			return false
		}
	}
	return true
}
