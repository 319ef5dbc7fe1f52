package reactor

import (
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/limpet-gateway/limpet/internal/session"
)

// later moves the present on and lets the loop notice at once, as one does that
// was frozen in between.
func later(l *loop, d time.Duration) {
	l.engine.born = l.engine.born.Add(-d)
	l.tick()
}

// A process that was frozen finds what its peers sent still to be read, and has
// sent no pings. The time counts for nobody's timeout, but for the end of a token.
func TestAFrozenLoopForgives(t *testing.T) {
	for _, frozen := range []time.Duration{6 * time.Second, 45 * time.Second, time.Hour} {
		t.Run(frozen.String(), func(t *testing.T) {
			l := newHandDrivenLoop(t, Config{}, &mute{})
			all := []*loop{l}
			l.engine.loops.Store(&all)
			idle, _ := join(t, l)
			pinged, _ := join(t, l)
			inFrame, s := join(t, l)
			expired, _ := join(t, l)
			l.expireAt(expired, l.engine.tickOf(time.Now().Add(frozen/2)))
			left := &sink{} // has not sent a request
			l.accept(left)
			handshake := left.ctx.(*conn)
			left.closed = func() { l.closed(handshake, nil) }
			leaving, last := join(t, l)
			last.closed = func() { l.closed(leaving, nil) }
			l.closeWith(leaving, session.Kicked, "")
			s.in = masked(ws.OpText, true, []byte("cut off"))[:9]
			l.receive(inFrame, s)
			pinged.set(flagPinged)
			pinged.seen = l.wheel.now - ticks(26*time.Second)

			later(l, frozen)
			for name, c := range map[string]*conn{"idle": idle, "pinged": pinged, "within a frame": inFrame} {
				if c.state != open {
					t.Errorf("%s: state %d", name, c.state)
				}
			}
			if handshake.state != handshaking || leaving.state != closing || expired.state != closing {
				t.Errorf("states of a handshake %d, a close %d and an expired session %d", handshake.state, leaving.state, expired.state)
			}
			for range 5 * 60 { // a minute, tick by tick: who says nothing meets the same ends as ever
				later(l, tick)
			}
			if n := l.count.conns.Load(); n != 0 {
				t.Errorf("%d connections never end", n)
			}
			if n := l.count.slowRequests.Load(); n != 1 {
				t.Errorf("%d handshakes timed out, want 1", n)
			}
		})
	}
}
