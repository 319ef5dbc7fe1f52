package reactor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

const patience = 20 * time.Second // for what must happen; generous for a busy machine

// recorder is a handler that remembers, and answers as a test wants.
type recorder struct {
	onOpen    func(*Opening) *wsproto.Refusal
	onMessage func(Session, session.Opcode, []byte)

	mu     sync.Mutex
	opened map[string]session.ID // by ?id=
	names  map[session.ID]string
	ended  map[session.ID]session.CloseReason
}

func (r *recorder) Open(o *Opening) *wsproto.Refusal {
	if r.onOpen != nil {
		if refusal := r.onOpen(o); refusal != nil {
			return refusal
		}
	}
	name, _ := o.Request.Query("id")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opened == nil {
		r.opened, r.names, r.ended = map[string]session.ID{}, map[session.ID]string{}, map[session.ID]session.CloseReason{}
	}
	r.opened[strings.Clone(name)] = o.ID
	r.names[o.ID] = strings.Clone(name)
	return nil
}

func (r *recorder) Message(s Session, op session.Opcode, payload []byte) {
	if r.onMessage != nil {
		r.onMessage(s, op, payload)
		return
	}
	s.Reply(op, payload)
}

func (r *recorder) Close(s Session, reason session.CloseReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, twice := r.ended[s.ID()]; twice {
		panic("session closed twice: " + s.ID().String())
	}
	r.ended[s.ID()] = reason
}

func (r *recorder) id(t *testing.T, name string) session.ID {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	id, ok := r.opened[name]
	if !ok {
		t.Fatalf("no session of %q was opened", name)
	}
	return id
}

// waitEnd waits until the session of name has ended and returns why.
func (r *recorder) waitEnd(t *testing.T, name string) session.CloseReason {
	t.Helper()
	id := r.id(t, name)
	var reason session.CloseReason
	eventually(t, "the end of "+name, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		var ok bool
		reason, ok = r.ended[id]
		return ok
	})
	return reason
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("still waiting for %s after %v", what, patience)
}

func startEngine(t *testing.T, cfg Config, h Handler) *Engine {
	t.Helper()
	t.Parallel() // every test has an engine of its own, and most wait for timeouts
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	cfg.Incarnation = 42
	if cfg.Upgrader.Path == "" {
		cfg.Upgrader.Path = "/ws"
	}
	e, err := Start(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// dial connects an independent client.
func dial(t *testing.T, e *Engine, name string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{HandshakeTimeout: patience}
	c, _, err := d.Dial("ws://"+e.Addr().String()+"/ws?id="+name, nil)
	if err != nil {
		t.Fatalf("dial %s: %v", name, err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c
}

func expectMessage(t *testing.T, c *websocket.Conn, want string) {
	t.Helper()
	_, got, err := c.ReadMessage()
	if err != nil {
		t.Fatalf("reading %q: %v", want, err)
	}
	if string(got) != want {
		t.Fatalf("got %.80q, want %.80q", got, want)
	}
}

func expectClose(t *testing.T, c *websocket.Conn, code int) string {
	t.Helper()
	for {
		_, _, err := c.ReadMessage()
		var ce *websocket.CloseError
		if errors.As(err, &ce) {
			if ce.Code != code {
				t.Fatalf("closed with %d %q, want %d", ce.Code, ce.Text, code)
			}
			return ce.Text
		}
		if err != nil {
			t.Fatalf("want close code %d, got %v", code, err)
		}
	}
}

// raw is a client that says exactly what a test wants.
type raw struct {
	net.Conn
	r *bufio.Reader
	t *testing.T
}

func dialRaw(t *testing.T, e *Engine) *raw {
	t.Helper()
	c, err := net.DialTimeout("tcp", e.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	return &raw{c, bufio.NewReader(c), t}
}

func request(name string) string {
	return "GET /ws?id=" + name + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
}

func (c *raw) upgrade(name string) {
	c.t.Helper()
	c.send([]byte(request(name)))
	c.expectStatus(101)
}

func (c *raw) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *raw) expectStatus(code int) *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("reading status %d: %v", code, err)
	}
	if resp.StatusCode != code {
		c.t.Fatalf("status %s, want %d", resp.Status, code)
	}
	return resp
}

// expectClose reads frames until a close frame.
func (c *raw) expectClose(code uint16) {
	c.t.Helper()
	for {
		f, err := ws.ReadFrame(c.r)
		if err != nil {
			c.t.Fatalf("want close code %d, got %v", code, err)
		}
		if f.Header.OpCode == ws.OpClose {
			if got := binary.BigEndian.Uint16(f.Payload); got != code {
				c.t.Fatalf("close code %d %q, want %d", got, f.Payload[2:], code)
			}
			return
		}
	}
}

// expectEnd reads until the connection ends, whatever comes before.
func (c *raw) expectEnd() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.r); err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Fatalf("the connection did not end: %v", err)
	}
}

func masked(op ws.OpCode, fin bool, payload []byte) []byte {
	f := ws.MaskFrame(ws.NewFrame(op, fin, bytes.Clone(payload)))
	return ws.MustCompileFrame(f)
}

func TestEcho(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{}, h)
	c := dial(t, e, "dev1")
	for _, text := range []string{"hello", "", strings.Repeat("x", 60000)} {
		if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		expectMessage(t, c, text)
	}
	if err := c.WriteMessage(websocket.BinaryMessage, []byte{0xff, 0}); err != nil {
		t.Fatal(err)
	}
	if op, got, err := c.ReadMessage(); op != websocket.BinaryMessage || string(got) != "\xff\x00" || err != nil {
		t.Fatalf("binary echo: %d %x %v", op, got, err)
	}
	// The close handshake, begun by the peer: its code comes back.
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4242, "bye"), time.Now().Add(patience))
	expectClose(t, c, 4242)
	if got := h.waitEnd(t, "dev1"); got != session.PeerClosed {
		t.Errorf("ended with %v", got)
	}
}

func TestPushes(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Loops: 2}, h)
	conns := map[string]*websocket.Conn{}
	for i := range 12 {
		name := fmt.Sprintf("dev%d", i)
		conns[name] = dial(t, e, name)
	}
	send := func(p Push, push func(Push) error) Outcome {
		t.Helper()
		p.Receipt = NewReceipt()
		if err := push(p); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		out, err := p.Receipt.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := send(Push{Opcode: session.Text, Payload: []byte("one")}, func(p Push) error { return e.Send(h.id(t, "dev3"), p) })
	if out != (Outcome{Delivered: 1}) {
		t.Fatalf("send: %+v", out)
	}
	out = send(Push{Opcode: session.Text, Payload: []byte("some")}, func(p Push) error {
		ids := []session.ID{h.id(t, "dev3"), h.id(t, "dev4"), h.id(t, "dev5"), {Incarnation: 1, Generation: 1}}
		return e.Multicast(ids, p)
	})
	if out != (Outcome{Delivered: 3, Offline: 1}) {
		t.Fatalf("multicast: %+v", out)
	}
	out = send(Push{Opcode: session.Text, Payload: []byte("all")}, e.Broadcast)
	if out != (Outcome{Delivered: 12}) {
		t.Fatalf("broadcast: %+v", out)
	}
	for name, c := range conns {
		if name == "dev3" {
			expectMessage(t, c, "one")
		}
		if name == "dev3" || name == "dev4" || name == "dev5" {
			expectMessage(t, c, "some")
		}
		expectMessage(t, c, "all")
	}
}

// Frames that wait for one socket leave in one write.
func TestPendingFramesLeaveInOneWrite(t *testing.T) {
	h := &recorder{}
	block := make(chan struct{})
	h.onMessage = func(Session, session.Opcode, []byte) { <-block }
	e := startEngine(t, Config{Loops: 1}, h)
	c := dial(t, e, "dev1")
	if err := c.WriteMessage(websocket.TextMessage, []byte("hold the loop")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the message", func() bool { return e.Stats().MessagesIn == 1 })
	before := e.Stats().Writes
	for i := range 50 {
		if err := e.Send(h.id(t, "dev1"), Push{Opcode: session.Text, Payload: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	close(block)
	for i := range 50 {
		expectMessage(t, c, fmt.Sprint(i))
	}
	if n := e.Stats().Writes - before; n != 1 {
		t.Errorf("50 frames took %d writes, want 1", n)
	}
}

// A session that closes while a push to it waits in the mailbox: the push
// counts as offline, and the next owner of the slot does not get it.
func TestPushToClosedSessionNeverReachesNextOwner(t *testing.T) {
	h := &recorder{}
	block, held := make(chan struct{}), make(chan struct{}, 1)
	h.onMessage = func(s Session, _ session.Opcode, payload []byte) {
		if string(payload) == "hold" {
			held <- struct{}{}
			<-block
		}
	}
	e := startEngine(t, Config{Loops: 1}, h)
	holder := dial(t, e, "holder")
	victim := dialRaw(t, e)
	victim.upgrade("victim")
	id := h.id(t, "victim")
	if err := holder.WriteMessage(websocket.TextMessage, []byte("hold")); err != nil {
		t.Fatal(err)
	}
	<-held
	victim.Close() // the loop will hear of it before it reads its mail
	time.Sleep(50 * time.Millisecond)
	receipt := NewReceipt()
	close(block)
	eventually(t, "the slot to be free", func() bool { return e.Stats().Sessions == 1 })
	next := dial(t, e, "next")
	nextID := h.id(t, "next")
	if nextID.Slot != id.Slot || nextID.Generation == id.Generation {
		t.Fatalf("the slot was not reused: %v after %v", nextID, id)
	}
	if err := e.Send(id, Push{Opcode: session.Text, Payload: []byte("secret"), Receipt: receipt}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := receipt.Wait(ctx); err != nil || out != (Outcome{Offline: 1}) {
		t.Fatalf("outcome %+v, %v; want offline", out, err)
	}
	if err := e.Send(nextID, Push{Opcode: session.Text, Payload: []byte("yours")}); err != nil {
		t.Fatal(err)
	}
	expectMessage(t, next, "yours")
}

// The same, with the close and the push truly at once.
func TestPushRacesClose(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Loops: 2}, h)
	for i := range 60 {
		name := fmt.Sprintf("v%d", i)
		victim := dialRaw(t, e)
		victim.upgrade(name)
		id := h.id(t, name)
		receipt := NewReceipt()
		done := make(chan error, 1)
		go func() { done <- e.Send(id, Push{Opcode: session.Text, Payload: []byte(name), Receipt: receipt}) }()
		victim.Close()
		next := dialRaw(t, e)
		next.upgrade("n" + name)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		out, err := receipt.Wait(ctx)
		cancel()
		if err != nil || out.Delivered+out.Offline != 1 {
			t.Fatalf("outcome %+v, %v", out, err)
		}
		next.send(masked(ws.OpText, true, []byte("mine")))
		f, err := ws.ReadFrame(next.r)
		if err != nil || string(f.Payload) != "mine" {
			t.Fatalf("the next owner got %q, %v", f.Payload, err)
		}
		next.Close()
	}
}

func TestStaleAndForeignIDs(t *testing.T) {
	e := startEngine(t, Config{}, &recorder{})
	for _, id := range []session.ID{{}, {Incarnation: 42}, {Incarnation: 41, Generation: 1}, {Incarnation: 42, Slot: 1 << 31, Generation: 1}} {
		if err := e.Send(id, Push{Opcode: session.Text}); !errors.Is(err, ErrOffline) {
			t.Errorf("send to %v: %v, want ErrOffline", id, err)
		}
		if err := e.CloseSession(id, session.Kicked); !errors.Is(err, ErrOffline) {
			t.Errorf("close of %v: %v, want ErrOffline", id, err)
		}
	}
}

func TestCloseSession(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{}, h)
	c := dial(t, e, "dev1")
	if err := e.Send(h.id(t, "dev1"), Push{Opcode: session.Text, Payload: []byte("last words")}); err != nil {
		t.Fatal(err)
	}
	if err := e.CloseSession(h.id(t, "dev1"), session.Displaced); err != nil {
		t.Fatal(err)
	}
	expectMessage(t, c, "last words")
	expectClose(t, c, 4001)
	if got := h.waitEnd(t, "dev1"); got != session.Displaced {
		t.Errorf("ended with %v", got)
	}
}

func TestHandlerRefuses(t *testing.T) {
	h := &recorder{onOpen: func(*Opening) *wsproto.Refusal { return wsproto.NewRefusal(403, "not you") }}
	e := startEngine(t, Config{}, h)
	c := dialRaw(t, e)
	c.send([]byte(request("x")))
	resp := c.expectStatus(403)
	if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "not you") {
		t.Errorf("body %q", body)
	}
	c.expectEnd()
	if s := e.Stats(); s.Opened != 0 || s.RefusedHTTP != 1 {
		t.Errorf("stats %+v", s)
	}
}

// Frames in the same segment as the request are not lost, and neither are
// requests that come byte by byte.
func TestHandshakeInPieces(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{}, h)
	c := dialRaw(t, e)
	c.send(append([]byte(request("a")), masked(ws.OpText, true, []byte("early"))...))
	c.expectStatus(101)
	if f, err := ws.ReadFrame(c.r); err != nil || string(f.Payload) != "early" {
		t.Fatalf("got %q, %v", f.Payload, err)
	}
	c = dialRaw(t, e)
	all := append([]byte(request("b")), masked(ws.OpText, true, []byte("slowly"))...)
	for i := range all {
		c.send(all[i : i+1])
		if i%16 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	c.expectStatus(101)
	if f, err := ws.ReadFrame(c.r); err != nil || string(f.Payload) != "slowly" {
		t.Fatalf("got %q, %v", f.Payload, err)
	}
	if n := e.Stats().UnfinishedBytes; n != 0 {
		t.Errorf("%d bytes of unfinished input are left", n)
	}
}

func TestAddressInUse(t *testing.T) {
	e := startEngine(t, Config{}, &recorder{})
	_, err := Start(Config{Addr: e.Addr().String(), Upgrader: wsproto.Upgrader{Path: "/ws"}}, &recorder{})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("second engine on %v: %v", e.Addr(), err)
	}
}
