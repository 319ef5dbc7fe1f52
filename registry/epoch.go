package registry

import (
	"sync/atomic"
	"time"
)

// Epoch orders the sessions of one principal, on all nodes: a later session
// has the greater epoch. It is a time, in milliseconds since 2026 began, moved
// forward where two sessions of a principal would share one; so it also says
// since when a session is connected, and it goes on growing when every process
// that remembered the last one has gone.
//
// It is kept in 40 bits, which last until November 2060.
type Epoch uint64

// MaxEpoch is the greatest Epoch that can be kept.
const MaxEpoch Epoch = 1<<40 - 1

// epochZeroMillis is 2026-01-01T00:00:00Z in Unix milliseconds.
const epochZeroMillis = 1767225600000

// EpochOf returns the epoch of a moment; moments before 2026 give 0.
func EpochOf(t time.Time) Epoch { return epochOfMillis(t.UnixMilli()) }

func epochOfMillis(unix int64) Epoch {
	return Epoch(min(max(unix-epochZeroMillis, 0), int64(MaxEpoch)))
}

// Time is the moment that e stands for: when the session connected, except
// where e was moved forward to stay unique.
func (e Epoch) Time() time.Time { return time.UnixMilli(int64(e) + epochZeroMillis).UTC() }

// Clock is the source of epochs. It follows the wall clock of this host until
// a directory corrects it to the time that all nodes share. It never runs
// backwards. Every method may be called from any goroutine.
type Clock struct {
	wall       func() time.Time
	correction atomic.Int64 // milliseconds to add to the wall clock
	last       atomic.Uint64
}

// NewClock returns a clock over wall; nil means time.Now.
func NewClock(wall func() time.Time) *Clock {
	if wall == nil {
		wall = time.Now
	}
	return &Clock{wall: wall}
}

// Now returns the present moment, never earlier than any it returned before.
func (c *Clock) Now() Epoch {
	now := uint64(epochOfMillis(c.wall().UnixMilli() + c.correction.Load()))
	for {
		last := c.last.Load()
		if now <= last {
			return Epoch(last)
		}
		if c.last.CompareAndSwap(last, now) {
			return Epoch(now)
		}
	}
}

// Last returns the greatest epoch that Now has returned, 0 before the first.
func (c *Clock) Last() Epoch { return Epoch(c.last.Load()) }

// Correct sets what is added to this host's wall clock. Moving it back does
// not turn Now back: it stands still until the corrected clock has caught up.
func (c *Clock) Correct(by time.Duration) { c.correction.Store(by.Milliseconds()) }
