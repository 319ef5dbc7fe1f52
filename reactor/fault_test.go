package reactor

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// bystander is a session that must not notice what others do: it keeps
// echoing until check.
type bystander struct {
	t      *testing.T
	c      *websocket.Conn
	stop   chan struct{}
	done   sync.WaitGroup
	echoes int
	err    error
}

func stand(t *testing.T, e *Engine) *bystander {
	t.Helper()
	b := &bystander{t: t, c: dial(t, e, "bystander"), stop: make(chan struct{})}
	_ = b.c.SetReadDeadline(time.Now().Add(4 * patience))
	b.done.Go(func() {
		for {
			select {
			case <-b.stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			want := fmt.Sprint(b.echoes)
			if b.err = b.c.WriteMessage(websocket.TextMessage, []byte(want)); b.err != nil {
				return
			}
			_, got, err := b.c.ReadMessage()
			if b.err = err; err != nil {
				return
			}
			if string(got) != want {
				b.err = fmt.Errorf("got %q for %q", got, want)
				return
			}
			b.echoes++
		}
	})
	return b
}

func (b *bystander) check() {
	b.t.Helper()
	close(b.stop)
	b.done.Wait()
	if b.err != nil || b.echoes == 0 {
		b.t.Errorf("a bystander was harmed after %d echoes: %v", b.echoes, b.err)
	}
}

func nothingHeld(t *testing.T, e *Engine) {
	t.Helper()
	eventually(t, "buffers to be given back", func() bool {
		s := e.Stats()
		return s.UnfinishedBytes == 0 && s.OutboxBytes == 0 && s.MailboxBytes == 0
	})
}

func TestOneBytePerSecondInTheHandshake(t *testing.T) {
	e := startEngine(t, Config{Tuning: Tuning{HandshakeTimeout: time.Second}}, &recorder{})
	b := stand(t, e)
	c := dialRaw(t, e)
	start := time.Now()
	for _, x := range []byte(request("loris")) {
		if _, err := c.Write([]byte{x}); err != nil {
			break
		}
		if time.Since(start) > patience {
			t.Fatal("a trickle keeps the handshake open")
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.expectEnd()
	if d := time.Since(start); d < 800*time.Millisecond {
		t.Errorf("ended after %v, want about 1s", d)
	}
	b.check()
	nothingHeld(t, e)
	if s := e.Stats(); s.SlowRequests != 1 || s.LeftEarly != 0 {
		t.Errorf("%d slow requests, %d that left, want 1 and 0", s.SlowRequests, s.LeftEarly)
	}
}

// Every connection that was accepted is now in exactly one count.
func TestConnectionsAddUp(t *testing.T) {
	e := startEngine(t, Config{Tuning: Tuning{HandshakeTimeout: time.Second}}, &recorder{})
	dialRaw(t, e).Close() // as a check of a load balancer
	slow := dialRaw(t, e)
	if _, err := slow.Write([]byte("GET /ws HT")); err != nil {
		t.Fatal(err)
	}
	slow.expectEnd()
	refused := dialRaw(t, e)
	if _, err := refused.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	refused.expectEnd()
	refused.Close()
	eventually(t, "all to be gone", func() bool { s := e.Stats(); return s.Accepted == 3 && s.Conns == 0 })
	if s := e.Stats(); s.LeftEarly != 1 || s.SlowRequests != 1 || s.RefusedHTTP != 1 {
		t.Errorf("%d left, %d were slow, %d were refused; want 1 of each", s.LeftEarly, s.SlowRequests, s.RefusedHTTP)
	}
}

func TestOneBytePerSecondInAFrame(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Tuning: Tuning{MessageTimeout: time.Second, CloseTimeout: time.Second}}, h)
	b := stand(t, e)
	c := dialRaw(t, e)
	c.upgrade("loris")
	frame := masked(ws.OpText, true, []byte(strings.Repeat("x", 1000)))
	go func() {
		for i := range frame {
			if _, err := c.Write(frame[i : i+1]); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	c.expectClose(1008)
	if got := h.waitEnd(t, "loris"); got != session.MessageTimeout {
		t.Errorf("ended with %v", got)
	}
	b.check()
	nothingHeld(t, e)
}

// A ping in between does not put the deadline of a message off.
func TestMessageTimeoutComesBeforeTheHeartbeats(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Tuning: Tuning{Heartbeat: time.Second, HeartbeatGrace: time.Hour, MessageTimeout: 1500 * time.Millisecond}}, h)
	c := dialRaw(t, e)
	c.upgrade("half")
	c.send(masked(ws.OpText, true, []byte("hello"))[:8])
	c.expectClose(1008)
	c.Close()
	if got := h.waitEnd(t, "half"); got != session.MessageTimeout {
		t.Errorf("ended with %v", got)
	}
}

// Whole messages whose last bytes always share a segment with the first of
// the next: the sender is never done, and never late.
func TestOverlappingMessagesAreNotLate(t *testing.T) {
	h := &recorder{onMessage: func(Session, session.Opcode, []byte) {}}
	e := startEngine(t, Config{Tuning: Tuning{MessageTimeout: time.Second}}, h)
	c := dialRaw(t, e)
	c.upgrade("busy")
	frame := masked(ws.OpText, true, []byte("0123456789"))
	c.send(frame[:5])
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		c.send(append(frame[5:len(frame):len(frame)], frame[:5]...))
	}
	if s := e.Stats(); s.Sessions != 1 {
		t.Fatalf("the session was closed: %v", s.Closed)
	}
}

func TestHalfClose(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{}, h)
	c := dialRaw(t, e)
	c.upgrade("half")
	c.send(masked(ws.OpText, false, []byte("half a mess")))
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.expectEnd()
	if got := h.waitEnd(t, "half"); got != session.PeerGone {
		t.Errorf("ended with %v", got)
	}
	nothingHeld(t, e)
}

func TestResetInTheMiddleOfAFrame(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{}, h)
	b := stand(t, e)
	for i := range 20 {
		name := fmt.Sprintf("rst%d", i)
		c := dialRaw(t, e)
		c.upgrade(name)
		frame := masked(ws.OpBinary, true, make([]byte, 50000))
		c.send(frame[:1+i*1000])
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		c.Close()
		if got := h.waitEnd(t, name); got != session.PeerGone {
			t.Errorf("ended with %v", got)
		}
	}
	b.check()
	nothingHeld(t, e)
}

func TestHundredThousandFragments(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Decoder: wsproto.DecoderConfig{MaxFragments: 1000}}, h)
	b := stand(t, e)
	c := dialRaw(t, e)
	c.upgrade("frag")
	go func() {
		first, rest := masked(ws.OpText, false, []byte("x")), masked(ws.OpContinuation, false, []byte("x"))
		buf := first
		for range 100_000 {
			if buf = append(buf, rest...); len(buf) > 16<<10 {
				if _, err := c.Write(buf); err != nil {
					return
				}
				buf = buf[:0]
			}
		}
	}()
	c.expectClose(1009)
	if got := h.waitEnd(t, "frag"); got != session.MessageTooBig {
		t.Errorf("ended with %v", got)
	}
	b.check()
	nothingHeld(t, e)
}

func TestPingFlood(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{}, h)
	b := stand(t, e)
	c := dialRaw(t, e)
	c.upgrade("flood")
	ping := masked(ws.OpPing, true, []byte("are you there"))
	c.send(ping)
	if f, err := c.frame(); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "are you there" {
		t.Fatalf("pong: %v %q %v", f.Header.OpCode, f.Payload, err)
	}
	go func() {
		for range 100_000 {
			if _, err := c.Write(ping); err != nil {
				return
			}
		}
	}()
	c.expectClose(1008)
	if got := h.waitEnd(t, "flood"); got != session.PolicyViolation {
		t.Errorf("ended with %v", got)
	}
	b.check()
}

// A client that sends what will be echoed and never reads: what waits for it
// is bounded, and then it is closed.
func TestClientThatNeverReads(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Tuning: Tuning{OutboundLimit: 256 << 10, CloseTimeout: time.Second}}, h)
	b := stand(t, e)
	c := dialRaw(t, e)
	c.upgrade("deaf")
	frame := masked(ws.OpBinary, true, make([]byte, 32<<10))
	sent := 0
	for end := time.Now().Add(patience); time.Now().Before(end); sent++ {
		if _, err := c.Write(frame); err != nil {
			break
		}
	}
	if got := h.waitEnd(t, "deaf"); got != session.SlowConsumer {
		t.Errorf("ended with %v after %d messages", got, sent)
	}
	b.check()
	nothingHeld(t, e)
}

// A message above the limit is no reason to close a session that reads.
func TestMessageAboveTheOutboundLimit(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Tuning: Tuning{OutboundLimit: 64 << 10}}, h)
	c := dial(t, e, "reader")
	big := strings.Repeat("x", 900<<10)
	for _, priority := range []session.Priority{session.High, session.Low} {
		if err := e.Send(h.id(t, "reader"), Push{Opcode: session.Text, Priority: priority, Payload: []byte(big)}); err != nil {
			t.Fatal(err)
		}
		expectMessage(t, c, big)
	}
}

// A peer that says goodbye before it has read all gets the rest, and the answer.
func TestCloseBehindUnsentBytes(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Tuning: Tuning{OutboundLimit: 64 << 20}}, h)
	c := dialRaw(t, e)
	c.upgrade("late-reader")
	const size, messages = 60 << 10, 200
	go func() {
		for range messages {
			_, _ = c.Write(masked(ws.OpBinary, true, make([]byte, size)))
		}
		_, _ = c.Write(masked(ws.OpClose, true, []byte{3, 232}))
	}()
	eventually(t, "the goodbye", func() bool { return e.Stats().MessagesIn == messages })
	time.Sleep(100 * time.Millisecond) // the close frame is behind the last message
	for range messages {
		f, err := c.frame()
		if err != nil || len(f.Payload) != size {
			t.Fatalf("a message is cut off: %d bytes, %v", len(f.Payload), err)
		}
	}
	c.expectClose(1000)
	c.Close()
	if got := h.waitEnd(t, "late-reader"); got != session.PeerClosed {
		t.Errorf("ended with %v", got)
	}
}

// Pushes to a session that does not read: low priority is dropped and
// counted, anything else ends the session with 1013.
func TestSlowConsumerByPriority(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Tuning: Tuning{OutboundLimit: 64 << 10, CloseTimeout: 500 * time.Millisecond}}, h)
	c := dialRaw(t, e)
	c.upgrade("slow")
	id := h.id(t, "slow")
	payload := make([]byte, 32<<10)
	var pushed uint64
	eventually(t, "low-priority messages to be dropped", func() bool {
		pushed++
		if err := e.Send(id, Push{Opcode: session.Binary, Priority: session.Low, Payload: payload}); err != nil {
			t.Fatal(err)
		}
		return e.Stats().DroppedSlow[session.Low] > 10
	})
	if s := e.Stats(); s.Sessions != 1 {
		t.Fatalf("low-priority messages ended the session: %v", s.Closed)
	}
	eventually(t, "the session to end", func() bool {
		pushed++
		if err := e.Send(id, Push{Opcode: session.Binary, Priority: session.High, Payload: payload}); err != nil {
			t.Fatal(err)
		}
		return e.Stats().Sessions == 0
	})
	var s Stats
	eventually(t, "every push to be counted once", func() bool {
		s = e.Stats()
		return pushed == s.MessagesOut+s.Offline+s.DroppedSlow[session.Low]+s.DroppedSlow[session.High]
	})
	if s.DroppedSlow[session.High] == 0 || s.DroppedSlow[session.Medium] != 0 {
		t.Errorf("of %d pushes %d were sent and %d came too late; dropped by priority: %d", pushed, s.MessagesOut, s.Offline, s.DroppedSlow)
	}
	if got := h.waitEnd(t, "slow"); got != session.SlowConsumer {
		t.Errorf("ended with %v", got)
	}
}

func TestProtocolErrors(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Decoder: wsproto.DecoderConfig{MaxMessageSize: 1000}}, h)
	for name, tc := range map[string]struct {
		bytes  []byte
		code   uint16
		reason session.CloseReason
	}{
		"unmasked": {ws.MustCompileFrame(ws.NewTextFrame([]byte("x"))), 1002, session.ProtocolError},
		"rsv":      {[]byte{0xf1, 0x80, 1, 2, 3, 4}, 1002, session.ProtocolError},
		"utf8":     {masked(ws.OpText, true, []byte{0xff}), 1007, session.BadPayload},
		"size":     {masked(ws.OpBinary, true, make([]byte, 1001)), 1009, session.MessageTooBig},
		"code":     {masked(ws.OpClose, true, []byte{0x03, 0xed}), 1002, session.ProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialRaw(t, e)
			c.upgrade(name)
			// More follows, which must not reset the connection before the
			// close frame is read.
			c.send(append(tc.bytes, make([]byte, 20000)...))
			c.expectClose(tc.code)
			c.expectEnd()
			c.Close()
			if got := h.waitEnd(t, name); got != tc.reason {
				t.Errorf("ended with %v, want %v", got, tc.reason)
			}
		})
	}
}

func TestHeartbeat(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Tuning: Tuning{Heartbeat: time.Second, HeartbeatGrace: time.Second, CloseTimeout: time.Second}}, h)
	dead := dialRaw(t, e)
	dead.upgrade("dead")
	alive := dial(t, e, "alive")
	pings := make(chan struct{}, 100)
	alive.SetPingHandler(func(data string) error {
		pings <- struct{}{}
		return alive.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(patience))
	})
	go func() { _, _, _ = alive.ReadMessage() }()
	f, err := dead.frame()
	if err != nil || f.Header.OpCode != ws.OpPing {
		t.Fatalf("want a ping, got %v %v", f.Header.OpCode, err)
	}
	dead.expectClose(1001)
	dead.expectEnd()
	if got := h.waitEnd(t, "dead"); got != session.HeartbeatMissed {
		t.Errorf("ended with %v", got)
	}
	for range 3 {
		select {
		case <-pings:
		case <-time.After(patience):
			t.Fatal("no more pings")
		}
	}
	if n := e.Stats().Sessions; n != 1 {
		t.Errorf("%d sessions, want the one that answers", n)
	}
}

// A peer that ignores our close frame is cut after the close timeout.
func TestCloseTimeout(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Tuning: Tuning{CloseTimeout: time.Second}}, h)
	c := dialRaw(t, e)
	c.upgrade("stubborn")
	if err := e.CloseSession(h.id(t, "stubborn"), session.Kicked); err != nil {
		t.Fatal(err)
	}
	c.expectClose(4002)
	start := time.Now()
	c.expectEnd()
	if d := time.Since(start); d < 500*time.Millisecond {
		t.Errorf("cut after %v, want about 1s", d)
	}
	if got := h.waitEnd(t, "stubborn"); got != session.Kicked {
		t.Errorf("ended with %v", got)
	}
}

func TestCompressedFanOut(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Upgrader: wsproto.Upgrader{Path: "/ws", Deflate: true}}, h)
	d := websocket.Dialer{EnableCompression: true, HandshakeTimeout: patience}
	packed, resp, err := d.Dial("ws://"+e.Addr().String()+"/ws?id=packed", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	if !strings.Contains(resp.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate") {
		t.Fatalf("not negotiated: %v", resp.Header)
	}
	plain := dial(t, e, "plain")
	text := strings.Repeat("all work and no play ", 100)
	before := e.Stats().BytesOut
	if err := e.Broadcast(Push{Opcode: session.Text, Payload: []byte(text)}); err != nil {
		t.Fatal(err)
	}
	expectMessage(t, packed, text)
	expectMessage(t, plain, text)
	eventually(t, "both writes to be counted", func() bool { return e.Stats().BytesOut-before > uint64(len(text)) })
	if n := e.Stats().BytesOut - before; n > uint64(len(text)+500) {
		t.Errorf("two sessions took %d bytes for %d of payload, one of them compressed", n, len(text))
	}
	if err := packed.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
	expectMessage(t, packed, text)
}
