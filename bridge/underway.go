package bridge

import (
	"context"
	"errors"
	"sync"
)

// underway counts what the bus was given for one push and has not taken yet.
type underway struct {
	mu      sync.Mutex
	pending int
	failed  int           // of those that the bus will not have
	gone    int           // of the failed: because their node is gone
	closed  bool          // the bus has ended
	sent    *Push         // what was given to all nodes; not guarded: the router's
	idle    chan struct{} // made by wait, closed when nothing is pending
}

// add returns the call-back for one more.
func (u *underway) add() func(error) {
	u.mu.Lock()
	u.pending++
	u.mu.Unlock()
	return u.done
}

func (u *underway) done(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case errors.Is(err, ErrBusClosed):
		u.closed = true
	case errors.Is(err, ErrNodeGone):
		u.failed++
		u.gone++
	case err != nil:
		u.failed++
	}
	if u.pending--; u.pending == 0 && u.idle != nil {
		close(u.idle)
	}
}

// wait returns when the bus has taken everything, or with why it did not: the
// context's error or ErrBusClosed. It is called once.
func (u *underway) wait(ctx context.Context) error {
	u.mu.Lock()
	if u.pending > 0 {
		u.idle = make(chan struct{})
		u.mu.Unlock()
		select {
		case <-u.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
		u.mu.Lock()
	}
	defer u.mu.Unlock()
	if u.closed {
		return ErrBusClosed
	}
	return nil
}

// settle corrects result by what the bus will not have. After wait.
func (u *underway) settle(result *Result) {
	if u.failed == 0 {
		return
	}
	if result.Spread {
		result.Spread = false
	} else {
		result.Forwarded -= u.failed
	}
	if u.failed > u.gone {
		result.Why = BecauseFailed
	}
}
