package redisdir

import (
	"fmt"
	"sync"
	"time"
)

// A Redis that has restarted empty, or has been away, knows only the nodes and
// sessions that have been registered since. A node sees that at once where a
// lookup finds its own incarnation gone, else when it renews its lease or meets
// a new master. From then on, what the directory does not know of other nodes
// means nothing. That ends a lease after this node has registered everything
// anew: by then the others have noticed too, and have done as much.
type refill struct {
	mu      sync.Mutex
	begun   int       // guarded by mu: how often
	pending bool      // guarded by mu: this node is not done yet
	until   time.Time // guarded by mu: the end for the others, when it is
}

// errForgotten says that Redis does not know this node any more.
var errForgotten = fmt.Errorf("this node is unknown to Redis: %w", ErrDegraded)

// Filling reports whether Redis may have lost, and not been told again, what
// other nodes hold. Any goroutine.
func (d *Directory) Filling() bool {
	r := &d.refill
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending || time.Now().Before(r.until)
}

// begin notes a reason for doubt; a resync must follow.
func (r *refill) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
	r.pending = true
}

// count is what a resync that begins now will have made good.
func (r *refill) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun
}

// done notes that this node has registered everything that it held when count
// was asked. The others have grace from now.
func (r *refill) done(count int, grace time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending && r.begun == count {
		r.pending, r.until = false, time.Now().Add(grace)
	}
}

// forgotten has a node that Redis does not know enrol again, and register what
// it holds, whatever the keeper has found out and done by itself meanwhile.
func (d *Directory) forgotten() {
	d.refill.begin()
	d.wakeKeeper()
	d.askResync("Redis does not know this node")
}
