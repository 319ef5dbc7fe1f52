package bridge

import (
	"fmt"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/limpet-gateway/limpet/internal/session"
)

// A session with rates of its own keeps them until it ends; the next one in
// its slot has the node's.
func TestOwnRates(t *testing.T) {
	for name, c := range map[string]struct {
		node               RateLimits
		messages, bytes    int
		wantOwn, wantOther int // messages of 10 bytes allowed at once, 1000 at most
	}{
		"stricter":        {RateLimits{Messages: 100, Burst: time.Second}, 5, 0, 5, 100},
		"looser":          {RateLimits{Messages: 5, Burst: time.Second}, 100, 0, 100, 5},
		"only bytes":      {RateLimits{Messages: 100, Burst: time.Second}, 0, 50, 5, 100},
		"node is without": {RateLimits{Burst: time.Second}, 7, 0, 7, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLimiter(c.node)
			now := l.start
			own, other := session.ID{Slot: 1, Generation: 1}, session.ID{Slot: 2, Generation: 1}
			if !l.Assign(own, c.messages, c.bytes) {
				t.Fatal("no room for one rate")
			}
			allowed := func(id session.ID) (n int) {
				for n < 1000 && l.Allow(id, 10, now) {
					n++
				}
				return n
			}
			if n := allowed(own); n != c.wantOwn {
				t.Errorf("%d messages with rates of its own, want %d", n, c.wantOwn)
			}
			if n := allowed(other); n != c.wantOther {
				t.Errorf("%d messages with the node's rates, want %d", n, c.wantOther)
			}
			next := session.ID{Slot: 1, Generation: 2}
			if n := allowed(next); n != c.wantOther {
				t.Errorf("the next session in the slot: %d messages, want %d", n, c.wantOther)
			}
		})
	}
}

// Different rates are bounded; rates that are known stay available. Loops add
// them at the same time.
func TestRatesAreBounded(t *testing.T) {
	l := NewLimiter(RateLimits{})
	var loops sync.WaitGroup
	for loop := range uint32(4) {
		loops.Go(func() {
			for i := range 2 * maxPrices {
				l.Assign(session.ID{Slot: loop<<24 | uint32(i), Generation: 1}, i+1, 0)
			}
		})
	}
	loops.Wait()
	if n := len(*l.prices.Load()); n != maxPrices {
		t.Errorf("%d different rates are kept, want %d", n, maxPrices)
	}
	if l.Assign(session.ID{Slot: 9, Generation: 1}, 1<<20, 0) {
		t.Error("one more is taken")
	}
	known := (*l.prices.Load())[maxPrices-1]
	if !l.Assign(session.ID{Slot: 9, Generation: 1}, int(int64(time.Second)/known.perMessage), 0) {
		t.Error(fmt.Sprint("a rate that is known is refused: ", known))
	}
	if size := unsafe.Sizeof(bucket{}); size != 24 {
		t.Errorf("a bucket takes %d bytes, want 24", size)
	}
}

// New rates of the node hold for sessions that are there, and leave those that
// have rates of their own what they have.
func TestSetLimits(t *testing.T) {
	l := NewLimiter(RateLimits{})
	plain, own := session.ID{Slot: 1, Generation: 1}, session.ID{Slot: 2, Generation: 1}
	if !l.Allow(plain, 10, l.start) || !l.Assign(own, 50, 0) {
		t.Fatal("not let in without limits")
	}
	now := l.start.Add(time.Minute)
	allowed := func(id session.ID, bytes int) (n int) {
		for n < 1000 && l.Allow(id, bytes, now) {
			n++
		}
		return n
	}
	l.SetLimits(RateLimits{Messages: 5, Bytes: 200, Burst: time.Second})
	if a, b := allowed(plain, 1), allowed(own, 10); a != 5 || b != 20 {
		t.Errorf("%d messages and %d of 10 bytes, want 5 of the node and 20, its bytes", a, b)
	}
	now = now.Add(time.Minute)
	l.SetLimits(RateLimits{Burst: time.Second})
	if a, b := allowed(plain, 1), allowed(own, 10); a != 1000 || b != 50 {
		t.Errorf("%d messages and %d, want no limit and 50 of its own", a, b)
	}
}
