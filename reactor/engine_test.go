package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/internal/logtest"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

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
	eventually(t, "the write to be counted", func() bool { return e.Stats().Writes > before })
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
		f, err := next.frame()
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
	logged := &logtest.Log{}
	e := startEngine(t, Config{Log: slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))}, h)
	c := dialRaw(t, e)
	c.send([]byte(request("x")))
	resp := c.expectStatus(403)
	if text := logged.String(); !strings.Contains(text, "client=127.0.0.1:") || !strings.Contains(text, `status=403 why="not you"`) {
		t.Errorf("the log does not say whom it refused, and why:\n%s", text)
	}
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
	if f, err := c.frame(); err != nil || string(f.Payload) != "early" {
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
	if f, err := c.frame(); err != nil || string(f.Payload) != "slowly" {
		t.Fatalf("got %q, %v", f.Payload, err)
	}
	if n := e.Stats().UnfinishedBytes; n != 0 {
		t.Errorf("%d bytes of unfinished input are left", n)
	}
}
