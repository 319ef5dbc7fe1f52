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
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// As in cmd/limpet: a thread that parts its descriptor table must be able to end,
// and the first one cannot. Its copy would keep the tests' own sockets open.
func init() { runtime.LockOSThread() }

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
	e, err := New(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
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
	return wrapRaw(t, c)
}

func wrapRaw(t *testing.T, c net.Conn) *raw {
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

// frame reads one frame from the server, of at most a megabyte.
func (c *raw) frame() (ws.Frame, error) {
	header, err := ws.ReadHeader(c.r)
	if err != nil {
		return ws.Frame{}, err
	}
	if header.Length > 1<<20 {
		return ws.Frame{Header: header}, fmt.Errorf("a frame of %d bytes", header.Length)
	}
	payload := make([]byte, header.Length)
	_, err = io.ReadFull(c.r, payload)
	return ws.Frame{Header: header, Payload: payload}, err
}

// expectClose reads frames until a close frame, and returns its reason.
func (c *raw) expectClose(code uint16) string {
	c.t.Helper()
	for {
		f, err := c.frame()
		if err != nil {
			c.t.Fatalf("want close code %d, got %v", code, err)
		}
		if f.Header.OpCode == ws.OpClose {
			if got := binary.BigEndian.Uint16(f.Payload); got != code {
				c.t.Fatalf("close code %d %q, want %d", got, f.Payload[2:], code)
			}
			return string(f.Payload[2:])
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
