package reactor

import (
	"container/heap"
	"slices"
	"strconv"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// shedBatch is how many sessions one look through the slab chooses. A loop
// with half a million looks for milliseconds, so it does not look for each.
const shedBatch = 1024

// shedActive is the silence up to which a session counts as active, unless the
// heartbeat is shorter than twice that.
const shedActive = 10 * time.Second

// shedPlan closes sessions at a paced rate while SetPressure asks for it:
// those of low priority first, then those of medium and of high priority that
// are idle, and among these the longest idle first. A session of medium or high
// priority that is active is never shed.
type shedPlan struct {
	owed   float64 // sessions that the rate allows to close by now, below one tick's share
	chosen []chosen
}

// chosen is a session that may be shed.
type chosen struct {
	slot, gen uint32
	rank      uint64 // the higher the sooner
}

// step closes this tick's share of a rate for the whole engine.
func (s *shedPlan) step(l *loop, perSecond int) {
	if perSecond == 0 {
		s.owed, s.chosen = 0, nil
		return
	}
	s.owed += float64(perSecond) * tick.Seconds() / float64(len(l.engine.allLoops()))
	looked := false
	for ; s.owed >= 1; s.owed-- {
		c := s.next(l)
		if c == nil && !looked {
			looked = true
			s.choose(l)
			c = s.next(l)
		}
		if c == nil {
			s.owed = 0 // nobody is left to go
			return
		}
		l.count.shed.Add(1)
		l.closeWith(c, session.Overloaded, l.retryHint())
	}
}

// next takes the first of those chosen who may still be shed.
func (s *shedPlan) next(l *loop) *conn {
	for len(s.chosen) > 0 {
		first := s.chosen[0]
		s.chosen = s.chosen[1:]
		if c := l.slab.find(first.slot, first.gen); c != nil {
			if _, ok := l.shedRank(c); ok {
				return c
			}
		}
	}
	return nil
}

// shedRank tells whether a session may be shed, and how soon against others.
func (l *loop) shedRank(c *conn) (rank uint64, ok bool) {
	idle := l.wheel.now - c.seen
	if c.state != open || c.priority != session.Low && idle < l.activeFor() {
		return 0, false
	}
	return uint64(c.priority)<<32 | uint64(idle), true // Low is the largest of the priorities
}

// activeFor is the silence in ticks up to which a session counts as active. A
// session that only answers pings is heard once in each heartbeat.
func (l *loop) activeFor() uint32 {
	return ticks(min(shedActive, l.engine.tuned().Heartbeat/2))
}

// choose looks through the slab for those to be shed next.
func (s *shedPlan) choose(l *loop) {
	var best leastFirst
	for i := range l.slab.size() {
		c := l.slab.at(i)
		rank, ok := l.shedRank(c)
		switch {
		case !ok:
		case len(best) < shedBatch:
			heap.Push(&best, chosen{c.slot, c.gen, rank})
		case rank > best[0].rank:
			best[0] = chosen{c.slot, c.gen, rank}
			heap.Fix(&best, 0)
		}
	}
	slices.SortFunc(best, func(a, b chosen) int {
		switch {
		case a.rank > b.rank:
			return -1
		case a.rank < b.rank:
			return 1
		}
		return 0
	})
	s.chosen = best
}

// leastFirst is a heap of the highest ranks, the lowest of them on top.
type leastFirst []chosen

func (h leastFirst) Len() int           { return len(h) }
func (h leastFirst) Less(i, j int) bool { return h[i].rank < h[j].rank }
func (h leastFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *leastFirst) Push(x any)        { *h = append(*h, x.(chosen)) }
func (h *leastFirst) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// retryHint tells a peer that is closed to save memory when to come back: a
// random time between RetryAfter and four times that, so that they do not come
// together. Newcomers are refused meanwhile, so the first may be too soon.
func (l *loop) retryHint() string {
	least := l.engine.tuned().RetryAfter.Milliseconds()
	return "retry=" + strconv.FormatInt(least+l.rng.Int64N(3*least+1), 10)
}
