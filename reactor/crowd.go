package reactor

import (
	"cmp"
	"slices"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// What sessions have unsent and unfinished is bounded for each of them, and
// for all together: ten thousand sessions that each stay within their limit
// would pass any budget. When the whole is too much, the sessions that hold
// most are closed first, until an eighth of the room is free, so that the
// search for them is paid for by many.
//
// Loops count without a lock. One whose part of the whole is above its fair
// share looks at the sum of all; one below leaves it to the others, who look at
// each tick at the latest. So the whole may pass its limit by as much again,
// for one tick, if a single loop has nearly all of it.

// holder is a connection that holds memory.
type holder struct {
	slot, gen uint32
	bytes     int
}

// crowd lists connections with unsent bytes, for which gnet has no list.
type crowd struct {
	unsent []holder // bytes as of the last look; some have none any more
	tight  bool     // a limit may be passed: a look is due when the event is over
	posted bool     // that look is under way
}

// noteUnsent counts what a write has left unsent. before is what there was.
func (l *loop) noteUnsent(c *conn, before int) {
	after := l.slab.socket(c).OutboundBuffered()
	if after == before {
		return
	}
	sum := l.count.unsent.Add(int64(after - before))
	if after > 0 && !c.is(flagUnsent) {
		c.set(flagUnsent)
		l.crowd.unsent = append(l.crowd.unsent, holder{c.slot, c.gen, after})
	}
	l.crowd.tight = l.crowd.tight || sum > l.engine.outboundTotal.Load()/int64(len(l.engine.allLoops()))
}

// noteUnfinished counts n bytes more, or less, of unfinished input.
func (l *loop) noteUnfinished(n int) {
	sum := l.count.unfinished.Add(int64(n))
	l.crowd.tight = l.crowd.tight || n > 0 && sum > l.engine.inboundTotal.Load()/int64(len(l.engine.allLoops()))
}

// countUnsent looks at every connection that had unsent bytes, and forgets
// those that have none. At each tick: peers read without our noticing.
func (l *loop) countUnsent() {
	kept, sum := l.crowd.unsent[:0], 0
	for _, h := range l.crowd.unsent {
		c := l.slab.find(h.slot, h.gen)
		if c == nil {
			continue
		}
		if h.bytes = l.slab.socket(c).OutboundBuffered(); h.bytes == 0 {
			c.clear(flagUnsent)
			continue
		}
		sum += h.bytes
		kept = append(kept, h)
	}
	if l.crowd.unsent = kept; len(kept) == 0 && cap(kept) > 1024 {
		l.crowd.unsent = nil
	}
	l.count.unsent.Store(int64(sum))
}

// thinOut closes those who hold most, where all together hold too much.
// Between events, since replies of the current connection are in the way.
func (l *loop) thinOut() {
	l.crowd.tight, l.crowd.posted = false, false
	if limit := l.engine.outboundTotal.Load(); l.excess((*counters).unsentNow, limit) > 0 {
		// Writes alone are counted between ticks, and peers have read since.
		// What is nearly too much counts as too much, or the next write
		// would have all of them looked at again.
		l.countUnsent()
		if part := l.excess((*counters).unsentNow, limit/8*7); part > 0 {
			l.closeLargest(slices.Clone(l.crowd.unsent), part, l.cutUnsent)
		}
	}
	if part := l.excess((*counters).unfinishedNow, l.engine.inboundTotal.Load()); part > 0 {
		l.closeLargest(l.unfinishedHolders(), part, l.refuseUnfinished)
	}
}

func (n *counters) unsentNow() int64     { return n.unsent.Load() }
func (n *counters) unfinishedNow() int64 { return n.unfinished.Load() }

// excess is how many bytes this loop has to free, given what each loop holds
// and how much all may.
func (l *loop) excess(held func(*counters) int64, limit int64) int64 {
	loops := l.engine.allLoops()
	mine := held(&l.count)
	if mine <= limit/int64(len(loops)) {
		return 0
	}
	var sum int64
	for _, other := range loops {
		sum += held(&other.count)
	}
	if sum <= limit {
		return 0
	}
	// In proportion to what it holds, so that all come to seven eighths.
	return mine - int64(float64(limit)/8*7*float64(mine)/float64(sum))
}

// closeLargest gives those with most bytes to end until enough are free.
func (l *loop) closeLargest(holders []holder, enough int64, end func(*conn)) {
	slices.SortFunc(holders, func(a, b holder) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, h := range holders {
		if enough <= 0 {
			return
		}
		if c := l.slab.find(h.slot, h.gen); c != nil {
			enough -= int64(h.bytes)
			l.count.evicted.Add(1)
			end(c)
		}
	}
}

// cutUnsent ends a connection that does not read: a close frame would wait
// behind what it does not read, and so would the memory.
func (l *loop) cutUnsent(c *conn) {
	reason := c.reason
	if c.state == open {
		reason = session.SlowConsumer
	}
	l.cut(c, reason)
}

// refuseUnfinished ends a connection that holds unfinished input, and says why.
func (l *loop) refuseUnfinished(c *conn) {
	switch c.state {
	case handshaking, undecided:
		l.count.refusedLoad.Add(1)
		l.refuse(c, l.engine.tuned().refusal)
	case open:
		l.endUnfinished(c)
		l.count.controlsOut.Add(1)
		l.gather = wsproto.AppendClose(l.gather[:0], session.Overloaded.Code(), l.retryHint())
		if l.write(c, l.gather) {
			l.linger(c, session.Overloaded)
		}
	default:
		l.cut(c, c.reason)
	}
}

// unfinishedHolders lists the connections with unfinished input.
func (l *loop) unfinishedHolders() []holder {
	var all []holder
	for i := range l.unfinished.items[1:] {
		u := &l.unfinished.items[i+1]
		if c := l.slab.bySlot(u.slot); l.unfinished.of(c) == u { // not in the free list
			all = append(all, holder{c.slot, c.gen, u.held()})
		}
	}
	return all
}
