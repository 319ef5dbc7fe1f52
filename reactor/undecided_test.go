package reactor

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// doorman puts every decision off and keeps the ids that wait.
type doorman struct {
	recorder
	expires time.Time

	mu2     sync.Mutex
	waiting []session.ID
}

func newDoorman() *doorman {
	d := &doorman{}
	d.onOpen = func(o *Opening) *wsproto.Refusal {
		switch verdict := o.Verdict.(type) {
		case nil:
			d.mu2.Lock()
			defer d.mu2.Unlock()
			d.waiting = append(d.waiting, o.ID)
			o.Later = true
		case *wsproto.Refusal:
			return verdict
		default:
			o.Expires = d.expires
		}
		return nil
	}
	return d
}

// Open keeps the recorder from noting a session that has not begun.
func (d *doorman) Open(o *Opening) *wsproto.Refusal {
	if o.Verdict == nil {
		return d.onOpen(o)
	}
	return d.recorder.Open(o)
}

func (d *doorman) take(t *testing.T) session.ID {
	t.Helper()
	var id session.ID
	eventually(t, "a connection that waits", func() bool {
		d.mu2.Lock()
		defer d.mu2.Unlock()
		if len(d.waiting) == 0 {
			return false
		}
		id = d.waiting[0]
		d.waiting = d.waiting[1:]
		return true
	})
	return id
}

func TestDecideLater(t *testing.T) {
	d := newDoorman()
	e := startEngine(t, Config{}, d)
	c := dialRaw(t, e)
	c.send([]byte(request("dev1")))
	id := d.take(t)
	eventually(t, "one undecided", func() bool { s := e.Stats(); return s.Undecided == 1 && s.UnfinishedBytes > 0 })
	if s := e.Stats(); s.Sessions != 0 {
		t.Fatalf("%d sessions before the decision", s.Sessions)
	}
	if err := e.Send(id, Push{Opcode: session.Text, Payload: []byte("too early")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the push to miss", func() bool { return e.Stats().Offline == 1 })
	if err := e.Decide(id, "yes"); err != nil {
		t.Fatal(err)
	}
	c.expectStatus(101)
	c.send(masked(ws.OpText, true, []byte("hello")))
	if f, err := c.frame(); err != nil || string(f.Payload) != "hello" {
		t.Fatalf("echo: %q, %v", f.Payload, err)
	}
	if s := e.Stats(); s.Undecided != 0 || s.UnfinishedBytes != 0 || s.Sessions != 1 {
		t.Fatalf("after the decision: %+v", s)
	}
	if d.id(t, "dev1") != id {
		t.Error("the session has another id than was put off")
	}
	// A second verdict and one for nobody change nothing.
	for _, id := range []session.ID{id, {Incarnation: 42, Slot: id.Slot, Generation: id.Generation + 1}} {
		if err := e.Decide(id, wsproto.NewRefusal(401, "no")); err != nil {
			t.Fatal(err)
		}
	}
	c.send(masked(ws.OpText, true, []byte("still")))
	if f, err := c.frame(); err != nil || string(f.Payload) != "still" {
		t.Fatalf("echo: %q, %v", f.Payload, err)
	}
}

func TestDecideRefuses(t *testing.T) {
	d := newDoorman()
	e := startEngine(t, Config{}, d)
	c := dialRaw(t, e)
	c.send([]byte(request("dev1")))
	if err := e.Decide(d.take(t), wsproto.NewRefusal(401, "no")); err != nil {
		t.Fatal(err)
	}
	if resp := c.expectStatus(401); resp.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("401 without a challenge: %v", resp.Header)
	}
	c.expectEnd()
	eventually(t, "nothing left", func() bool { s := e.Stats(); return s.Conns == 0 && s.UnfinishedBytes == 0 && s.Undecided == 0 })
}

// The request may come in any pieces, and frames before the answer.
func TestFramesBeforeTheDecision(t *testing.T) {
	d := newDoorman()
	e := startEngine(t, Config{}, d)
	c := dialRaw(t, e)
	req := request("dev1")
	c.send([]byte(req[:30]))
	time.Sleep(20 * time.Millisecond)
	c.send(append([]byte(req[30:]), masked(ws.OpText, true, []byte("one"))...))
	id := d.take(t)
	c.send(masked(ws.OpText, true, []byte("two")))
	eventually(t, "both to be kept", func() bool { return e.Stats().UnfinishedBytes >= len(req)+18 })
	if err := e.Decide(id, "yes"); err != nil {
		t.Fatal(err)
	}
	c.expectStatus(101)
	for _, want := range []string{"one", "two"} {
		if f, err := c.frame(); err != nil || string(f.Payload) != want {
			t.Fatalf("got %q, %v, want %q", f.Payload, err, want)
		}
	}
	eventually(t, "nothing kept", func() bool { return e.Stats().UnfinishedBytes == 0 })

	greedy := dialRaw(t, e)
	greedy.send([]byte(request("greedy")))
	d.take(t)
	for range 4 {
		greedy.send(make([]byte, 8<<10))
	}
	greedy.expectStatus(400)
	eventually(t, "the greedy one's bytes to go", func() bool { s := e.Stats(); return s.UnfinishedBytes == 0 && s.Undecided == 0 })
}

// A close frame that came early is answered behind the handshake.
func TestCloseBeforeTheDecision(t *testing.T) {
	d := newDoorman()
	e := startEngine(t, Config{}, d)
	c := dialRaw(t, e)
	c.send(append([]byte(request("dev1")), masked(ws.OpClose, true, []byte{3, 232})...))
	if err := e.Decide(d.take(t), "yes"); err != nil {
		t.Fatal(err)
	}
	c.expectStatus(101)
	c.expectClose(1000)
	c.expectEnd()
	if reason := d.waitEnd(t, "dev1"); reason != session.PeerClosed {
		t.Errorf("ended with %v", reason)
	}
}

func TestUndecidedIsBounded(t *testing.T) {
	d := newDoorman()
	e := startEngine(t, Config{Loops: 1, MaxUndecided: 3, Tuning: Tuning{DecisionTimeout: time.Second, RetryAfter: 9 * time.Second}}, d)
	var waiting []*raw
	for i := range 3 {
		c := dialRaw(t, e)
		c.send([]byte(request(fmt.Sprint("w", i))))
		d.take(t)
		waiting = append(waiting, c)
	}
	eventually(t, "three to wait", func() bool { return e.Stats().Undecided == 3 })
	over := dialRaw(t, e)
	over.send([]byte(request("over")))
	if resp := over.expectStatus(503); resp.Header.Get("Retry-After") != "9" {
		t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
	}
	waiting[0].Close() // goes first
	for _, c := range waiting[1:] {
		if resp := c.expectStatus(503); resp.Header.Get("Retry-After") != "9" { // nobody decides
			t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
		}
	}
	eventually(t, "all places free", func() bool { s := e.Stats(); return s.Undecided == 0 && s.UnfinishedBytes == 0 })
	if got := e.Stats().RefusedLate; got != 3 {
		t.Errorf("%d refused as too many or too late, want 3", got)
	}
}

func TestSessionExpires(t *testing.T) {
	d := newDoorman()
	d.expires = time.Now().Add(1500 * time.Millisecond)
	e := startEngine(t, Config{}, d)
	open := func(name string) (*websocket.Conn, session.ID) {
		c := make(chan *websocket.Conn, 1)
		go func() {
			dialer := websocket.Dialer{HandshakeTimeout: patience}
			conn, _, err := dialer.Dial("ws://"+e.Addr().String()+"/ws?id="+name, http.Header{})
			if err != nil {
				t.Error(err)
			}
			c <- conn
		}()
		id := d.take(t)
		if err := e.Decide(id, "yes"); err != nil {
			t.Fatal(err)
		}
		conn := <-c
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		return conn, id
	}
	short, _ := open("short")
	long, id := open("long")
	if err := e.Extend(id, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	expectClose(t, short, 4003)
	if early := time.Until(d.expires); early > 0 {
		t.Errorf("closed %v before the time", early)
	}
	if reason := d.waitEnd(t, "short"); reason != session.Unauthorized {
		t.Errorf("ended with %v", reason)
	}
	if err := long.WriteMessage(websocket.TextMessage, []byte("extended")); err != nil {
		t.Fatal(err)
	}
	expectMessage(t, long, "extended")
	if err := e.Extend(id, time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	expectClose(t, long, 4003)
}

// A place in the slab forgets the expiry of its owner before.
func TestExpiryIsOfOneOwner(t *testing.T) {
	l := newHandDrivenLoop(t, Config{}, &mute{})
	if got := unsafe.Sizeof(*l.slab.take(nil)); got != 48 {
		t.Fatalf("a conn takes %d bytes", got)
	}
	c, _ := join(t, l)
	if l.slab.chunks[0].expiry != nil {
		t.Fatal("a session without an expiry pays for one")
	}
	l.expireAt(c, l.wheel.now+1000)
	if l.slab.expiry(c) != l.wheel.now+1000 {
		t.Fatal("the expiry is not kept")
	}
	slot := c.slot
	l.cut(c, session.Kicked)
	again, _ := join(t, l)
	if again.slot != slot || l.slab.expiry(again) != 0 {
		t.Fatalf("slot %d after %d expires at %d", again.slot, slot, l.slab.expiry(again))
	}
}

// A session whose token lives for days is looked at as often as any other.
func TestFarExpiryKeepsTheHeartbeat(t *testing.T) {
	l := newHandDrivenLoop(t, Config{}, &mute{})
	c, s := join(t, l)
	due := l.wheel.now + 7*24*3600*5
	l.expireAt(c, due)
	pong := masked(ws.OpPong, true, nil)
	for range ticks(10 * time.Minute) {
		l.wheel.advance(l.look)
		if c.is(flagPinged) {
			s.in = []byte(strings.Clone(string(pong)))
			l.receive(c, s)
		}
	}
	if c.state != open {
		t.Fatalf("state %d after ten minutes", c.state)
	}
	if pings := l.count.pings.Load(); pings < 20 || pings > 30 {
		t.Errorf("%d pings in ten minutes of 25 s heartbeats", pings)
	}
	l.wheel.now = due - 2
	l.wheel.schedule(c, due)
	for range 2 {
		l.wheel.advance(l.look)
	}
	if c.state != closing {
		t.Errorf("state %d at the expiry", c.state)
	}
}

func TestTickOf(t *testing.T) {
	e := &Engine{born: time.Now()}
	for _, c := range []struct {
		at   time.Time
		want uint32
	}{
		{time.Time{}, 0},
		{e.born.Add(-time.Hour), 1},
		{e.born.Add(time.Second), 5},
		{e.born.Add(time.Second + 1), 6},
		{e.born.Add(100 * 365 * 24 * time.Hour), 0},
		{time.Unix(253402300799, 0), 0}, // the end of the year 9999; as a Duration it does not fit
		{time.Unix(9e18, 0), 0},
		{time.Unix(-9e18, 0), 1},
	} {
		if got := e.tickOf(c.at); got != c.want {
			t.Errorf("tick of %v after the start is %d, want %d", c.at.Sub(e.born), got, c.want)
		}
	}
}
