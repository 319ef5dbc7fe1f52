package redisdir

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// A node that finds a newer session of a principal elsewhere closes its own;
// the node where the newer one opened tells it so through a list in Redis.
// A list and not a channel: a notice waits while its reader reconnects.
//
// When the answer to a write is lost, nobody knows whom it displaced. Then all
// nodes are asked to look at the principal again: one that holds it writes its
// state once more, and is told if it has to give way. That notice is a record
// without an epoch.
//
// Notices are the quick way. One that is lost all the same, with the process
// that should have sent it for instance, is made up for by the next resync or
// audit of the displaced node: its write is then refused, or accepted where the
// newer session has ended with its node.
const (
	noticesBound  = 1 << 16          // waiting to be sent; more are dropped and counted
	noticesBatch  = 512              // in one command
	noticesExpire = time.Minute      // at least, of a list that nobody reads
	noticesOnList = 4 * noticesBound // beyond which the oldest on a list are dropped
)

type notices struct {
	mu      sync.Mutex
	waiting []notice // guarded by mu
	dropped atomic.Uint64
	wake    chan struct{} // something waits
}

type notice struct {
	principal string
	record    record // of the displaced session; zero asks every node to look again
}

func newNotices() *notices { return &notices{wake: make(chan struct{}, 1)} }

// displaced notes that r had to go. doubt notes that nobody knows what had to.
func (n *notices) displaced(principal string, r record) { n.note(notice{principal, r}) }

func (n *notices) doubt(principal string) { n.note(notice{principal: principal}) }

func (n *notices) add(list ...notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	room := max(noticesBound-len(n.waiting), 0)
	if len(list) > room {
		n.dropped.Add(uint64(len(list) - room))
		list = list[:room]
	}
	n.waiting = append(n.waiting, list...)
}

// note adds one and has it sent at once: until then only this process knows.
func (n *notices) note(one notice) {
	n.add(one)
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notices) take() []notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := n.waiting
	n.waiting = nil
	return taken
}

// exchangeNotices sends and fetches notices.
func (d *Directory) exchangeNotices(ctx context.Context) {
	poll := time.NewTicker(d.config.Poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.notices.wake:
			if d.State().Connected() {
				d.sendNotices(ctx)
			}
		case <-poll.C:
			if d.State().Connected() {
				d.sendNotices(ctx) // what failed before
				d.fetchNotices(ctx)
			}
		}
	}
}

// sendNotices puts each notice on the list of the node it is for. A record is
// sent as it stands in the directory, followed by the principal.
func (d *Directory) sendNotices(ctx context.Context) {
	waiting := d.notices.take()
	if len(waiting) == 0 {
		return
	}
	v, err := d.watch.refresh(ctx)
	if err != nil {
		d.notices.add(waiting...)
		return
	}
	lists := map[string][]notice{}
	for _, n := range waiting {
		if n.record.epoch != 0 {
			switch node := v.byIncarnation[n.record.incarnation]; {
			case node == nil: // cleared up after
			case node.Alive:
				lists[node.ID] = append(lists[node.ID], n)
			default:
				d.orphan(n, node)
			}
			continue
		}
		for _, node := range v.byIncarnation {
			if node.Alive && node.ID != d.config.Node {
				lists[node.ID] = append(lists[node.ID], n)
			}
		}
	}
	for node, list := range lists {
		for len(list) > 0 {
			part := list[:min(len(list), noticesBatch)]
			list = list[len(part):]
			d.sendTo(ctx, keyDisplaced(node), part)
		}
	}
}

func (d *Directory) sendTo(ctx context.Context, key string, part []notice) {
	texts := make([]string, len(part))
	for i, n := range part {
		texts[i] = string(n.record.append(nil)) + n.principal
	}
	results := d.store.do(ctx, func(c rueidis.Client) []rueidis.Completed {
		return []rueidis.Completed{
			c.B().Rpush().Key(key).Element(texts...).Build(),
			c.B().Ltrim().Key(key).Start(-noticesOnList).Stop(-1).Build(),
			c.B().Pexpire().Key(key).Milliseconds(max(noticesExpire, 4*d.config.Lease).Milliseconds()).Build(),
		}
	})
	if results[0].Error() != nil {
		d.notices.add(part...) // perhaps a second time, which does no harm
	}
}

// fetchNotices closes the sessions that other nodes have displaced. What it
// has read it removes only afterwards, so an answer that is lost loses nothing.
func (d *Directory) fetchNotices(ctx context.Context) {
	key := keyDisplaced(d.config.Node)
	for {
		list, err := d.store.one(ctx, func(b rueidis.Builder) rueidis.Completed {
			return b.Lrange().Key(key).Start(0).Stop(noticesBatch - 1).Build()
		}).AsStrSlice()
		if err != nil || len(list) == 0 {
			return
		}
		for _, text := range list {
			r, principal, ok := cutRecord(text)
			switch {
			case !ok: // of a version to come
			case r.epoch == 0:
				if len(d.table.AppendEntries(nil, []byte(principal))) > 0 {
					d.enqueue(principals, []byte(principal))
				}
			default:
				d.displaceIfSame(principal, r)
				former := !slices.Contains(*d.mine.Load(), r.incarnation)
				if former && d.watch.current.Load().live(r.incarnation) == nil {
					d.notices.note(notice{principal, r}) // it died with the process that had this node's name
				}
			}
		}
		if err := d.store.one(ctx, func(b rueidis.Builder) rueidis.Completed {
			return b.Ltrim().Key(key).Start(int64(len(list))).Stop(-1).Build()
		}).Error(); err != nil || len(list) < noticesBatch {
			return
		}
	}
}

// displaceIfSame displaces the session that a notice means: slots and
// generations repeat after a restart of the process, epochs do not.
func (d *Directory) displaceIfSame(principal string, r record) {
	for _, s := range d.table.AppendEntries(nil, []byte(principal)) {
		if s.Epoch == r.epoch && s.ID.Slot == r.slot && s.ID.Generation == r.generation {
			d.displace(principal, r)
		}
	}
}
