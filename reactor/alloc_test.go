package reactor

import (
	"bytes"
	"net"
	"testing"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// sink is a socket that takes everything. It stands in for gnet's so that a
// loop can be driven by hand, tick by tick.
type sink struct {
	gnet.Conn // nil: any other method is a mistake of the test
	in        []byte
	out       int
	writes    int
	ctx       any
	closed    func()
}

func (s *sink) Next(int) ([]byte, error)    { return s.in, nil }
func (s *sink) Write(b []byte) (int, error) { s.out += len(b); s.writes++; return len(b), nil }
func (s *sink) OutboundBuffered() int       { return 0 }
func (s *sink) SetContext(ctx any)          { s.ctx = ctx }
func (s *sink) Context() any                { return s.ctx }
func (s *sink) RemoteAddr() net.Addr        { return nil }
func (s *sink) EventLoop() gnet.EventLoop   { return nil }
func (s *sink) Fd() int                     { return -1 }

// hands is the loop's gnet side: closing calls back at once, as gnet does.
type hands struct{ gnet.EventLoop }

func (hands) Close(c gnet.Conn) error {
	if s := c.(*sink); s.closed != nil {
		s.closed()
	}
	return nil
}

func newHandDrivenLoop(t testing.TB, cfg Config, h Handler) *loop {
	t.Helper()
	cfg.Addr, cfg.MaxConns = "127.0.0.1:0", 10_000
	e, err := New(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	return newLoop(e, 0, hands{})
}

// join opens a session by hand.
func join(t testing.TB, l *loop) (*conn, *sink) {
	t.Helper()
	s := &sink{}
	l.accept(s)
	c := s.ctx.(*conn)
	s.closed = func() { l.closed(c, nil) }
	s.in = []byte(request("dev1"))
	l.receive(c, s)
	if c.state != open {
		t.Fatalf("state %d after the handshake", c.state)
	}
	return c, s
}

type mute struct{ messages int }

func (m *mute) Open(*Opening) *wsproto.Refusal          { return nil }
func (m *mute) Message(Session, session.Opcode, []byte) { m.messages++ }
func (m *mute) Close(Session, session.CloseReason)      {}

type echoer struct{ mute }

func (m *echoer) Message(s Session, op session.Opcode, p []byte) { m.messages++; s.Reply(op, p) }

func TestNoAllocationPerSmallMessage(t *testing.T) {
	h := &echoer{}
	l := newHandDrivenLoop(t, Config{}, h)
	c, s := join(t, l)
	frame := masked(ws.OpText, true, bytes.Repeat([]byte("x"), 64))
	in := make([]byte, len(frame))
	before := h.messages
	if n := testing.AllocsPerRun(1000, func() {
		copy(in, frame) // decoding unmasks in place
		s.in = in
		l.receive(c, s)
	}); n != 0 {
		t.Errorf("%v allocations per echoed message, want 0", n)
	}
	if h.messages-before != 1001 {
		t.Fatalf("%d messages arrived", h.messages-before)
	}
}

func TestNoAllocationPerHeartbeat(t *testing.T) {
	l := newHandDrivenLoop(t, Config{}, &mute{})
	const n = 1000
	socks := make([]*sink, n)
	conns := make([]*conn, n)
	for i := range n {
		conns[i], socks[i] = join(t, l)
	}
	pong := masked(ws.OpPong, true, nil)
	in := make([]byte, len(pong))
	pings := l.count.pings.Load()
	// Two minutes of ticks; every ping is answered in the tick that sent it.
	if got := testing.AllocsPerRun(600, func() {
		l.wheel.advance(l.look)
		for i, c := range conns {
			if c.is(flagPinged) {
				copy(in, pong)
				socks[i].in = in
				l.receive(c, socks[i])
			}
		}
	}); got != 0 {
		t.Errorf("%v allocations per tick with %d sessions, want 0", got, n)
	}
	if sent := l.count.pings.Load() - pings; sent < 4*n || sent > 5*n {
		t.Errorf("%d pings to %d sessions in two minutes of 25 s heartbeats", sent, n)
	}
	if l.count.sessions.Load() != n {
		t.Errorf("%d sessions left", l.count.sessions.Load())
	}
}

// A wave of sessions that open in one tick is pinged over half an interval.
func TestFirstPingsAreSpread(t *testing.T) {
	l := newHandDrivenLoop(t, Config{}, &mute{})
	const n = 1000
	for range n {
		join(t, l)
	}
	heartbeat := ticks(l.engine.tuned().Heartbeat)
	most := uint64(0)
	for range heartbeat {
		before := l.count.pings.Load()
		l.wheel.advance(l.look)
		most = max(most, l.count.pings.Load()-before)
	}
	if total := l.count.pings.Load(); total != n {
		t.Fatalf("%d of %d were pinged within a heartbeat", total, n)
	}
	if most > 5*n/uint64(heartbeat/2) {
		t.Errorf("%d of %d pings in one tick", most, n)
	}
}

// A fan-out that is queued and written allocates nothing per session.
func TestNoAllocationPerDelivery(t *testing.T) {
	l := newHandDrivenLoop(t, Config{}, &mute{})
	const n = 400
	socks := make([]*sink, n)
	for i := range n {
		_, socks[i] = join(t, l)
	}
	f := newFrame(&Push{Opcode: session.Text, Payload: make([]byte, 128)})
	writes := socks[0].writes
	if got := testing.AllocsPerRun(100, func() {
		for range 10 {
			l.deliver(&mail{kind: mailBroadcast, frame: f})
		}
		for l.flushSome(flushBatch) {
		}
	}); got != 0 {
		t.Errorf("%v allocations for 10 broadcasts to %d sessions, want 0", got, n)
	}
	if got := socks[0].writes - writes; got != 101 {
		t.Errorf("101 rounds of 10 broadcasts took %d writes", got)
	}
}
