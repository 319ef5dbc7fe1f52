package reactor

import (
	"testing"

	"pgregory.net/rapid"
)

func TestWheelLooksAtTheDueTick(t *testing.T) {
	for _, delay := range []uint32{1, 2, 125, wheelSize - 1} {
		s := newSlab(0, numberingFor(1))
		var w wheel
		w.init(&s)
		w.now = 1000
		c := s.take(nil)
		w.schedule(c, w.now+delay)
		for w.now < 1000+delay-1 {
			w.advance(func(*conn) { t.Fatalf("delay %d: looked at after %d ticks", delay, w.now-1000) })
		}
		looked := 0
		w.advance(func(got *conn) {
			if got == c {
				looked++
			}
		})
		if looked != 1 {
			t.Errorf("delay %d: looked at %d times", delay, looked)
		}
	}
}

// What is due beyond one turn is looked at within the turn, and the look puts
// it back; what is due in the past is looked at in the next tick.
func TestWheelClampsDelays(t *testing.T) {
	s := newSlab(0, numberingFor(1))
	var w wheel
	w.init(&s)
	w.now = 77
	far, past := s.take(nil), s.take(nil)
	w.schedule(far, w.now+10*wheelSize)
	w.schedule(past, w.now-5)
	if far.due != w.now+wheelSize-1 || past.due != w.now+1 {
		t.Fatalf("due at %d and %d", far.due-w.now, past.due-w.now)
	}
}

// Against a plain map of deadlines: whatever is scheduled, moved and removed,
// each connection is looked at in its tick and in no other.
func TestWheelProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSlab(0, numberingFor(1))
		var w wheel
		w.init(&s)
		w.now = rapid.Uint32Range(0, 3*wheelSize).Draw(t, "start")
		conns := make([]*conn, 8)
		for i := range conns {
			conns[i] = s.take(nil)
		}
		due := map[*conn]uint32{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			c := conns[rapid.IntRange(0, len(conns)-1).Draw(t, "conn")]
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				at := w.now + rapid.Uint32Range(1, wheelSize-1).Draw(t, "delay")
				w.schedule(c, at)
				due[c] = at
			case 1:
				at := w.now + rapid.Uint32Range(1, wheelSize-1).Draw(t, "delay")
				w.sooner(c, at)
				if old, ok := due[c]; !ok || at < old {
					due[c] = at
				}
			case 2:
				w.remove(c)
				delete(due, c)
			case 3:
				w.advance(func(got *conn) {
					if due[got] != w.now {
						t.Fatalf("looked at in tick %d, due in %d", w.now, due[got])
					}
					delete(due, got)
				})
			}
			for c, at := range due {
				if at <= w.now {
					t.Fatalf("tick %d passed without a look at %d", at, c.slot)
				}
			}
		}
	})
}
