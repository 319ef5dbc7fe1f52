package bridge

import (
	"testing"

	"github.com/limpet-gateway/limpet/internal/session"
)

// Low priority is dropped at once while that is asked for, also with room.
func TestReliefDropsLow(t *testing.T) {
	b := startBroker(t)
	u := startUplink(t, b, UplinkConfig{})
	u.SetRelief(Relief{DropLow: true})
	for p, want := range map[session.Priority]Verdict{session.Low: Dropped, session.Medium: Accepted, session.High: Accepted} {
		if v := u.Accept(message("dev1", "under relief", p)); v != want {
			t.Errorf("%v: %v, want %v", p, v, want)
		}
	}
	u.SetRelief(Relief{})
	if v := u.Accept(message("dev1", "afterwards", session.Low)); v != Accepted {
		t.Errorf("low afterwards: %v", v)
	}
	if s := u.Stats(); s.DroppedLoad != 1 || s.DroppedLow != 0 {
		t.Errorf("%+v", s)
	}
	consume(t, b.addr, u.cfg.Topics.Uplink, 3)
}

// Of medium priority the latest of a session is kept, also with room, and
// reaches Kafka though nothing comes after it; high priority is untouched.
func TestReliefCoalesces(t *testing.T) {
	b := startBroker(t)
	u := startUplink(t, b, UplinkConfig{Workers: 1})
	u.SetRelief(Relief{Coalesce: true})
	const n = 200
	for i := range n {
		if v := u.Accept(message("dev1", numbered(i), session.Medium)); v != Accepted {
			t.Fatalf("message %d: %v", i, v)
		}
	}
	if v := u.Accept(message("dev2", "high", session.High)); v != Accepted {
		t.Fatalf("high: %v", v)
	}
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	s := u.Stats()
	if s.Coalesced == 0 || s.Acked != n+1-s.Coalesced || s.HeldValues != 0 || s.BufferedBytes != 0 {
		t.Errorf("%+v", s)
	}
	last := ""
	for _, r := range consume(t, b.addr, u.cfg.Topics.Uplink, int(s.Acked)) {
		if string(r.Key) == "dev1" {
			if string(r.Value) <= last {
				t.Errorf("%s after %s", r.Value, last)
			}
			last = string(r.Value)
		}
	}
	if last != numbered(n-1) {
		t.Errorf("the last value is %s, want %s", last, numbered(n-1))
	}
	u.SetRelief(Relief{})
	for i := range 3 {
		u.Accept(message("dev1", numbered(n+i), session.Medium))
	}
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if after := u.Stats(); after.Acked != s.Acked+3 || after.Coalesced != s.Coalesced {
		t.Errorf("coalesces afterwards: %+v", after)
	}
}

// Halved, the budget takes half; a message of any size fits when there is no
// other; what was accepted stays accounted for.
func TestBudgetHalves(t *testing.T) {
	fill := func(b *budget, p session.Priority) (n int64) {
		for b.reserve(p, 1000) {
			n += 1000
		}
		return n
	}
	b := newBudget(800_000)
	if n := fill(b, session.High); n != 700_000 {
		t.Fatalf("high takes %d", n)
	}
	b.halvings.Store(2)
	if b.reserve(session.High, 1) {
		t.Error("takes more than a quarter")
	}
	b.release(700_000)
	for p, want := range map[session.Priority]int64{session.High: 175_000, session.Medium: 150_000, session.Low: 100_000} {
		if n := fill(b, p); n != want {
			t.Errorf("%v takes %d, want %d", p, n, want)
		}
		b.release(b.used.Load())
	}
	if b.hold(25_001) || !b.hold(25_000) {
		t.Errorf("%d held, want a quarter of an eighth", b.held.Load())
	}
	if !b.reserve(session.Low, 500_000) || b.reserve(session.High, 1) {
		t.Error("one large message has to fit, and no other beside it")
	}
}
