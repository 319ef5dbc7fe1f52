package redisdir

import (
	"sync"
	"time"
)

// The window over which failures are counted, and when they are too many.
const (
	windowSlices  = 10
	windowSlice   = 250 * time.Millisecond
	windowMinimum = 10 // calls, below which a share says nothing
	windowPercent = 10 // failed calls beyond which Redis counts as away
)

// window counts calls of the last two and a half seconds and how many of them failed.
type window struct {
	mu     sync.Mutex
	slices [windowSlices]struct {
		number       int64
		calls, fails int
	}
}

// count notes calls that ended at now, and reports whether too many of the
// window have failed.
func (w *window) count(now time.Time, calls, fails int) (away bool) {
	number := now.UnixNano() / int64(windowSlice)
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.slices[number%windowSlices]
	if s.number != number {
		s.number, s.calls, s.fails = number, 0, 0
	}
	s.calls += calls
	s.fails += fails
	calls, fails = 0, 0
	for i := range w.slices {
		if number-w.slices[i].number < windowSlices {
			calls += w.slices[i].calls
			fails += w.slices[i].fails
		}
	}
	return calls >= windowMinimum && fails*100 > calls*windowPercent
}

// reset forgets everything, for a new start after Redis was away.
func (w *window) reset() {
	w.mu.Lock()
	clear(w.slices[:])
	w.mu.Unlock()
}

// State is how the directory stands with Redis.
type State int32

const (
	// Starting: no contact yet. The node works from its own table.
	Starting State = iota
	// Joined: the lease is held and everything works.
	Joined
	// Recovering: joined again, and changes are being replayed; lookups work.
	Recovering
	// Degraded: Redis is away, or failing. The node works from its own table.
	Degraded
	// Superseded: another process runs under this node's id. The node works
	// from its own table until that one's lease ends.
	Superseded
	// Stopped: after Close.
	Stopped
)

// String is the word for logs, metric labels and /readyz.
func (s State) String() string {
	return [...]string{"starting", "joined", "recovering", "degraded", "superseded", "stopped"}[s]
}

// Connected reports whether Redis is being used: lookups see other nodes.
func (s State) Connected() bool { return s == Joined || s == Recovering }
