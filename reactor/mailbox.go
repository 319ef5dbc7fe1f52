package reactor

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// mailKind is what a loop is asked to do.
type mailKind uint8

const (
	mailSend      mailKind = iota // to the session in slot and gen
	mailMulticast                 // to the sessions in ids, all of this loop
	mailBroadcast                 // to every session
	mailClose                     // the session in slot and gen, for reason
	mailDrain                     // every session, within window
	mailDecide                    // verdict over the connection in slot and gen
	mailExtend                    // the session in slot and gen, to expire at tick due
)

// mail is one piece of work for a loop. Fan-out is one mail per loop, never
// one per connection.
type mail struct {
	kind    mailKind
	reason  session.CloseReason
	slot    uint32
	gen     uint32
	due     uint32
	frame   *frame
	ids     []session.ID
	window  time.Duration
	receipt *Receipt
	verdict any
}

// mailbox is the only way into a loop from outside. Its pushes are bounded in
// entries and in payload bytes. The put that finds the loop asleep wakes it, later
// ones do not; so a burst costs one wakeup.
type mailbox struct {
	maxItems int
	maxBytes *atomic.Int64 // the engine's, for every loop
	wake     func() error

	mu    sync.Mutex // held for an append, never across I/O
	items []mail
	bytes int
	awake bool   // the loop is reading, or a wakeup is under way
	full  uint64 // how often put had no room
}

// put leaves m for the loop, or fails with ErrFull. Any goroutine.
func (b *mailbox) put(m mail) error {
	size := m.frame.size()
	b.mu.Lock()
	// One mail always fits into an empty box, however large. What has no frame is
	// never refused: a session that is displaced or kicked must not stay, nor a
	// verdict over a handshake be lost, nor a loop be left out of a drain, because others are behind with their writes.
	if m.frame != nil && (len(b.items) >= b.maxItems || (b.bytes+size > int(b.maxBytes.Load()) && len(b.items) > 0)) {
		b.full++
		b.mu.Unlock()
		return ErrFull
	}
	b.items = append(b.items, m)
	b.bytes += size
	wake := !b.awake
	b.awake = true
	b.mu.Unlock()
	if wake {
		return b.wake()
	}
	return nil
}

// takeAll swaps what is waiting for the emptied slice of the call before. On
// the loop, which counts as awake until sleep returns true.
func (b *mailbox) takeAll(emptied []mail) []mail {
	clear(emptied)           // let frames go
	if cap(emptied) > 4096 { // a burst must not hold memory for ever
		emptied = nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.items
	b.items, b.bytes = emptied[:0], 0
	return taken
}

// sleep lets the next put wake the loop. It returns false when something came
// in meanwhile: then the loop must come back by itself. On the loop.
func (b *mailbox) sleep() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.awake = len(b.items) > 0
	return !b.awake
}

// depth returns the entries and payload bytes waiting, and how often there was
// no room for another since the start. Any goroutine.
func (b *mailbox) depth() (items, bytes int, full uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items), b.bytes, b.full
}
