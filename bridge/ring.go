package bridge

import "github.com/limpet-gateway/limpet/internal/session"

// ring is the bounded queue of one worker. As it fills, low priority is turned
// away at half and medium at three quarters, as the budget does.
type ring struct {
	items []*item
	head  int
	n     int
}

func newRing(length int) ring { return ring{items: make([]*item, length)} }

// has reports whether there is room for an item of priority p.
func (r *ring) has(p session.Priority) bool {
	switch p {
	case session.Low:
		return r.n < len(r.items)/2
	case session.Medium:
		return r.n < len(r.items)/4*3
	default:
		return r.n < len(r.items)
	}
}

// room is the number of items that fit.
func (r *ring) room() int { return len(r.items) - r.n }

// push appends it; there must be room.
func (r *ring) push(it *item) {
	if r.n == len(r.items) {
		panic("bridge: push to a full ring")
	}
	i := r.head + r.n
	if i >= len(r.items) {
		i -= len(r.items)
	}
	r.items[i] = it
	r.n++
}

// pop removes the oldest item, or returns nil.
func (r *ring) pop() *item {
	if r.n == 0 {
		return nil
	}
	it := r.items[r.head]
	r.items[r.head] = nil
	if r.head++; r.head == len(r.items) {
		r.head = 0
	}
	r.n--
	return it
}
