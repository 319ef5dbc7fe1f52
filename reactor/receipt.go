package reactor

import (
	"context"
	"sync/atomic"
)

// Receipt counts what became of a push. One receipt may travel with pushes to
// several loops; it is complete when each has dealt with its part.
type Receipt struct {
	parts     atomic.Int32
	delivered atomic.Int32
	offline   atomic.Int32
	dropped   atomic.Int32
	done      chan struct{}
	then      func(Outcome) // nil: nobody is called
}

// Outcome is what became of a push, in sessions.
type Outcome struct {
	Delivered int // handed to the session's socket
	Offline   int // the session had gone
	Dropped   int // no room for it, or the session was closed as a slow consumer
}

// NewReceipt returns a receipt for one call of Send, Multicast or Broadcast.
func NewReceipt() *Receipt { return &Receipt{done: make(chan struct{})} }

// Then has f called with the outcome once it is complete, by whoever completes
// it: mostly a loop, so f must not block. Before the call of Send, Multicast or
// Broadcast.
func (r *Receipt) Then(f func(Outcome)) { r.then = f }

// Wait returns the outcome once it is complete, or what is known of it and
// the context's error.
func (r *Receipt) Wait(ctx context.Context) (Outcome, error) {
	var err error
	select {
	case <-r.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return r.outcome(), err
}

func (r *Receipt) outcome() Outcome {
	return Outcome{int(r.delivered.Load()), int(r.offline.Load()), int(r.dropped.Load())}
}

func (r *Receipt) complete() {
	if r.then != nil {
		r.then(r.outcome())
	}
	close(r.done)
}

// expect says how many loops have a part in it. Before any mail is put.
func (r *Receipt) expect(parts int) {
	if r == nil {
		return
	}
	if parts == 0 {
		r.complete()
		return
	}
	r.parts.Store(int32(parts))
}

// add reports a part's outcome and completes that part.
func (r *Receipt) add(o Outcome) {
	if r == nil {
		return
	}
	r.delivered.Add(int32(o.Delivered))
	r.offline.Add(int32(o.Offline))
	r.dropped.Add(int32(o.Dropped))
	if r.parts.Add(-1) == 0 {
		r.complete()
	}
}
