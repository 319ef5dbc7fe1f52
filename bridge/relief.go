package bridge

import "time"

// Relief is what an uplink gives up to save memory, or Kafka. The zero value is
// nothing.
type Relief struct {
	Halvings uint8 // how often the room for messages is halved, 0 to 8
	DropLow  bool  // messages of low priority are dropped and counted, also where there is room
	Coalesce bool  // of medium messages only the latest of each session is kept, and sent once a second
}

// maxHalvings leaves some room to every priority.
const maxHalvings = 8

// coalesceFor is how long a worker lets later values replace held ones while
// Relief.Coalesce asks for it.
const coalesceFor = time.Second

// SetRelief changes what the uplink gives up, from now on. What was accepted
// stays. Any goroutine.
func (u *Uplink) SetRelief(r Relief) {
	u.budget.halvings.Store(uint32(min(r.Halvings, maxHalvings)))
	u.dropLow.Store(r.DropLow)
	u.coalesce.Store(r.Coalesce)
}

// Capacity is the number of bytes that the uplink was configured to buffer.
func (u *Uplink) Capacity() int64 { return u.cfg.BufferedBytes }

// coalescing reports whether held values are still to be replaced rather than
// sent. Owned by the worker's goroutine.
func (w *worker) coalescing(now time.Time) bool {
	if !w.u.coalesce.Load() || now.Sub(w.flushed) >= coalesceFor {
		w.flushed = now
		return false
	}
	return true
}
