package tracing

import (
	"sync/atomic"

	"golang.org/x/time/rate"
)

// By says on whose word something is followed.
type By int

// Each has a part of Config.PerSecond: what those below it are followed for
// counts against its part too.
const (
	Node    By = iota // this node's share of what comes without a trace; all that nobody else takes, at least half
	Service           // who may use the API or write to Kafka; with clients, at most half
	Client            // anybody who can connect; at most a quarter
	byAll
)

// String is the value of the metric's label.
func (b By) String() string { return [...]string{"node", "service", "client"}[b] }

// part is by's part of a limit: how fast its bucket fills, and how much it holds.
func (b By) part(perSecond int) (rate.Limit, int) {
	return rate.Limit(perSecond) / rate.Limit(int(1)<<b), max(perSecond>>b, 1)
}

// budget bounds how many traces are followed per second. A sampled flag is
// cheap to send, so those whom less is trusted have buckets of their own within
// the whole: what takes from the client's takes from the service's and from the
// whole as well. The whole fills twice as fast as the others may take from it, so
// a flood of flags leaves half of each second to what the node samples itself.
type budget struct {
	limits            [byAll]*rate.Limiter
	followed, limited [byAll]atomic.Uint64
}

func newBudget(perSecond int) *budget {
	b := &budget{}
	for by := range b.limits {
		b.limits[by] = rate.NewLimiter(By(by).part(perSecond))
	}
	return b
}

func (b *budget) set(perSecond int) {
	for by, limit := range b.limits {
		fill, size := By(by).part(perSecond)
		limit.SetLimit(fill)
		limit.SetBurst(size)
	}
}

// allow takes a trace from the narrowest bucket first: one that it refuses has
// taken nothing from the others.
func (b *budget) allow(by By) bool {
	for wider := by; wider >= Node; wider-- {
		if !b.limits[wider].Allow() {
			b.limited[by].Add(1)
			return false
		}
	}
	b.followed[by].Add(1)
	return true
}

// Stats is what a tracer has decided, by whose word. Counts only grow.
type Stats struct {
	Followed [byAll]uint64 // begun here, or joined
	Limited  [byAll]uint64 // not followed as asked, since there were too many in that second
}

func (b *budget) stats() (s Stats) {
	for by := range b.limits {
		s.Followed[by], s.Limited[by] = b.followed[by].Load(), b.limited[by].Load()
	}
	return s
}
