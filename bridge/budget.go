package bridge

import (
	"sync/atomic"

	"github.com/limpet-gateway/limpet/internal/session"
)

// budget bounds the bytes of everything that was accepted and is not
// acknowledged. As it fills, low priority is turned away first:
//
//	0           1/2         3/4       7/8      1
//	|─ low ──────|           |         |        |
//	|─ medium ───────────────|         |        |
//	|─ high ───────────────────────────|        |
//	                                   |─ held ─| latest value of medium, per session
//
// All methods may be called from any goroutine.
type budget struct {
	shares [3]int64 // fixed: by priority
	spare  int64    // fixed: of held values

	halvings atomic.Uint32 // of all of them, while memory is short

	used atomic.Int64
	held atomic.Int64
}

func newBudget(limit int64) *budget {
	b := &budget{spare: limit / 8}
	b.shares[session.High] = limit - limit/8
	b.shares[session.Medium] = limit / 4 * 3
	b.shares[session.Low] = limit / 2
	return b
}

// reserve takes n bytes for a message, unless its priority's share is used up.
// Callers that meet at the limit may both be turned away though one of them
// would fit.
func (b *budget) reserve(p session.Priority, n int64) bool {
	// One message always fits into an empty budget, however often it was halved.
	if used := b.used.Add(n); used > b.shares[p]>>b.halvings.Load() && used > n {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) release(n int64) { b.used.Add(-n) }

// hold takes n bytes for a held value.
func (b *budget) hold(n int64) bool {
	if b.held.Add(n) > b.spare>>b.halvings.Load() {
		b.held.Add(-n)
		return false
	}
	return true
}

func (b *budget) unhold(n int64) { b.held.Add(-n) }

// total is the number of bytes in use.
func (b *budget) total() int64 { return b.used.Load() + b.held.Load() }
