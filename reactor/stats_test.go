package reactor

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/internal/session"
)

// What one conversation leaves in the counters: every connection is in one
// state, every frame is counted once.
func TestStatsOfAConversation(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{}, h)
	waiting := dialRaw(t, e) // sends no request yet
	c := dial(t, e, "dev1")
	for _, text := range []string{"one", "two"} {
		if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		expectMessage(t, c, text)
	}
	other := dialRaw(t, e)
	other.upgrade("dev2")
	other.send(masked(ws.OpText, false, []byte("frag")))
	other.send(masked(ws.OpPing, true, nil))
	if f, err := other.frame(); err != nil || f.Header.OpCode != ws.OpPong {
		t.Fatalf("after a ping: %v %v", f.Header.OpCode, err)
	}
	eventually(t, "three connections", func() bool { return e.Stats().Conns == 3 })
	s := e.Stats()
	if s.Handshaking != 1 || s.Open != 2 || s.Closing+s.Lingering != 0 || s.Sessions != 2 {
		t.Errorf("states: %d handshaking, %d open, %d closing, %d lingering", s.Handshaking, s.Open, s.Closing, s.Lingering)
	}
	if s.MessagesIn != 2 || s.FramesIn != 4 || s.MessagesOut != 2 || s.ControlsOut != 1 {
		t.Errorf("%d messages in %d frames came, %d messages and %d control frames went", s.MessagesIn, s.FramesIn, s.MessagesOut, s.ControlsOut)
	}
	if s.UnfinishedBytes < len("frag") {
		t.Errorf("%d B of unfinished input", s.UnfinishedBytes)
	}

	waiting.send([]byte("BAD\r\n\r\n"))
	waiting.expectStatus(400)
	other.send(masked(ws.OpText, true, []byte(strings.Repeat("x", 10)))) // a message within a message
	other.expectClose(1002)
	if err := e.CloseSession(h.id(t, "dev1"), session.Kicked); err != nil {
		t.Fatal(err)
	}
	expectClose(t, c, 4002)
	c.Close()
	eventually(t, "the end of the sessions", func() bool { return e.Stats().Sessions == 0 })
	s = e.Stats()
	if s.Closed[session.Kicked] != 1 || s.Closed[session.ProtocolError] != 1 || s.RefusedHTTP != 1 {
		t.Errorf("closed %v, refused %d", s.Closed, s.RefusedHTTP)
	}
	if sum := s.Handshaking + s.Undecided + s.Open + s.Closing + s.Lingering; sum != s.Conns {
		t.Errorf("%d connections, their states sum up to %d", s.Conns, sum)
	}
	if s.ControlsOut != 3 {
		t.Errorf("%d control frames went, want a pong and two closes", s.ControlsOut)
	}
}

// The bytes of a loop's structures follow the sessions, 64 B for each.
func TestStateBytesFollowTheSessions(t *testing.T) {
	l := newHandDrivenLoop(t, Config{}, &mute{})
	empty := l.stateBytes()
	const n = 10 * chunkSize
	for range n {
		join(t, l)
	}
	if got := l.stateBytes() - empty; got < 64*n || got > 64*n+n {
		t.Errorf("%d B for %d sessions, want 64 each", got, n)
	}
}

func TestCountingTakesNoAllocation(t *testing.T) {
	l := newHandDrivenLoop(t, Config{}, &mute{})
	if n := testing.AllocsPerRun(1000, func() { count(l) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// count is what a loop counts for one echoed message.
func count(l *loop) {
	l.count.bytesIn.Add(70)
	l.count.framesIn.Store(l.decoder.Frames())
	l.count.messagesIn.Add(1)
	l.count.messagesOut.Add(1)
	l.count.writes.Add(1)
	l.count.bytesOut.Add(66)
}

// Question: what does counting cost a loop, for one echoed message (six
// counters), and what does a scrape beside it change? The loop takes no lock:
// each counter is one atomic instruction on a line that only the loop writes.
func BenchmarkCount(b *testing.B) {
	for _, scraped := range []bool{false, true} {
		name := "alone"
		if scraped {
			name = "scraped"
		}
		b.Run(name, func(b *testing.B) {
			l := newHandDrivenLoop(b, Config{}, &mute{})
			all := []*loop{l}
			l.engine.loops.Store(&all)
			done, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for scraped {
					select {
					case <-done:
						return
					default:
						l.engine.Stats()
					}
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				count(l)
			}
			close(done)
			<-ended
		})
	}
}
