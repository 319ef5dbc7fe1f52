package redisdir

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/limpet-gateway/limpet/registry"
	"github.com/redis/rueidis"
)

// When a node dies most of its clients are elsewhere before its lease is over.
// Their newer entries have taken the place of the old ones, so that the scan of
// whoever clears up does not meet those: they are orphans. The notice that each
// of them gave rise to finds them, wherever it is:
//
//   - not sent yet, its node being dead: the sender reports it;
//   - on the list of the dead node: whoever clears up reads that;
//   - read from there by a process that has taken the node's name since: it
//     sends it on, as one for a dead node.
//
// A notice that is lost takes the report with it. The newer session's epoch
// still says what is true of a principal that has one session.
type orphans struct {
	mu      sync.Mutex
	waiting []registry.LostSession // guarded by mu, at most noticesBound
}

// orphan notes that the session of n went with its node. What finds no room is
// counted as a dropped notice.
func (d *Directory) orphan(n notice, dead *Node) {
	if d.config.Lost == nil {
		return
	}
	o := &d.orphans
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == noticesBound {
		d.notices.dropped.Add(1)
		return
	}
	o.waiting = append(o.waiting, registry.LostSession{Principal: n.principal, Session: n.record.session(dead), Node: dead.ID})
}

// reportOrphans reports those that wait, or leaves them to the next call.
func (d *Directory) reportOrphans(ctx context.Context) error {
	o := &d.orphans
	for {
		o.mu.Lock()
		batch := slices.Clone(o.waiting[:min(len(o.waiting), claimBatch)])
		o.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		if err := d.config.Lost.Lost(ctx, batch); err != nil {
			return fmt.Errorf("report lost sessions: %w", err)
		}
		d.lostSessions.Add(uint64(len(batch)))
		o.mu.Lock() // only this method takes any away
		if o.waiting = o.waiting[len(batch):]; len(o.waiting) == 0 {
			o.waiting = nil
		}
		o.mu.Unlock()
	}
}

// clearList reports the sessions that a dead incarnation was asked to close, and
// returns how many they are. The list is left to expire: a process of the same
// name may be reading it.
func (d *Directory) clearList(c *claim, dead *Node) (total int, err error) {
	if d.config.Lost == nil {
		return 0, nil
	}
	for from := int64(0); ; from += noticesBatch {
		list, err := d.store.one(c.ctx, func(b rueidis.Builder) rueidis.Completed {
			return b.Lrange().Key(keyDisplaced(dead.ID)).Start(from).Stop(from + noticesBatch - 1).Build()
		}).AsStrSlice()
		if err != nil {
			return total, fmt.Errorf("read the notices of %q: %w", dead.ID, err)
		}
		var lost []registry.LostSession
		for _, text := range list {
			if r, principal, ok := cutRecord(text); ok && r.incarnation == dead.Incarnation {
				lost = append(lost, registry.LostSession{Principal: principal, Session: r.session(dead), Node: dead.ID})
			}
		}
		if err := c.held(); err != nil {
			return total, err
		}
		if len(lost) > 0 {
			if err := d.config.Lost.Lost(c.ctx, lost); err != nil {
				return total, fmt.Errorf("report lost sessions: %w", err)
			}
			d.lostSessions.Add(uint64(len(lost)))
			total += len(lost)
		}
		if len(list) < noticesBatch {
			return total, nil
		}
	}
}
