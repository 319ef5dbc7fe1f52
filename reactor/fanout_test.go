package reactor

import (
	"bytes"
	"compress/flate"
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// keeper is a socket that remembers what memory it was given, in place of a
// copy of it.
type keeper struct {
	sink
	got [][]byte
}

func (k *keeper) Write(b []byte) (int, error) {
	k.got = append(k.got, b)
	return len(b), nil
}

// asleep is a loop that a test drives: nothing is done when it is woken.
type asleep struct{ hands }

func (asleep) Execute(context.Context, gnet.Runnable) error { return nil }

// fanOut gives a push to send, on loops that each have sessions of which every
// second one has negotiated compression, and returns what was written to each
// kind.
func fanOut(t *testing.T, loops, each int, send func(e *Engine, ids []session.ID) error) (plain, packed [][]byte) {
	t.Helper()
	e, err := New(Config{Addr: "127.0.0.1:0", Loops: loops, Tuning: Tuning{MaxConns: 10_000}}, &mute{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.held.release)
	var all []*loop
	var ids []session.ID
	sockets := map[*keeper]bool{} // true: compressed
	for n := range loops {
		l := newLoop(e, n, asleep{})
		all = append(all, l)
		for i := range each {
			k := &keeper{}
			l.accept(k)
			c := k.ctx.(*conn)
			k.in = []byte(request("dev1"))
			l.receive(c, k)
			if c.state != open {
				t.Fatalf("state %d after the handshake", c.state)
			}
			if k.got = nil; i%2 == 0 {
				c.set(flagDeflate)
			}
			sockets[k] = i%2 == 0
			ids = append(ids, session.ID{Incarnation: e.cfg.Incarnation, Slot: c.slot, Generation: c.gen})
		}
	}
	e.loops.Store(&all)
	if err := send(e, ids); err != nil {
		t.Fatal(err)
	}
	var turns sync.WaitGroup
	for _, l := range all { // at the same time, as loops run
		turns.Go(l.readMail)
	}
	turns.Wait()
	for k, compressed := range sockets {
		if len(k.got) != 1 {
			t.Fatalf("%d writes to a socket, want 1", len(k.got))
		}
		if compressed {
			packed = append(packed, k.got[0])
		} else {
			plain = append(plain, k.got[0])
		}
	}
	return plain, packed
}

// However many sessions on however many loops get a message, it is encoded once
// and compressed once: all of them are sent the same memory.
func TestFanOutEncodesAndCompressesOnce(t *testing.T) {
	text := []byte(strings.Repeat("all work and no play ", 100))
	push := Push{Opcode: session.Text, Payload: text}
	for name, send := range map[string]func(*Engine, []session.ID) error{
		"to all":     func(e *Engine, _ []session.ID) error { return e.Broadcast(push) },
		"to a group": func(e *Engine, ids []session.ID) error { return e.Multicast(ids, push) },
	} {
		t.Run(name, func(t *testing.T) {
			plain, packed := fanOut(t, 3, 20, send)
			for what, frames := range map[string][][]byte{"plain": plain, "compressed": packed} {
				if len(frames) != 30 {
					t.Fatalf("%d sessions got it %s, want 30", len(frames), what)
				}
				for _, f := range frames {
					if &f[0] != &frames[0][0] || len(f) != len(frames[0]) {
						t.Fatalf("%s: not all sessions were given the same memory", what)
					}
				}
			}
			if want := wsproto.AppendFrame(nil, ws.OpText, false, text); !bytes.Equal(plain[0], want) {
				t.Errorf("plain: %.40x..., want %.40x...", plain[0], want)
			}
			if got := inflated(t, packed[0]); !bytes.Equal(got, text) {
				t.Errorf("compressed: it says %.60q", got)
			}
			if len(packed[0]) > len(text)/4 {
				t.Errorf("compressed: %d bytes of %d", len(packed[0]), len(text))
			}
		})
	}
}

// inflated returns the payload of a compressed frame (RFC 7692 section 7.2.2).
func inflated(t *testing.T, frame []byte) []byte {
	t.Helper()
	r := bytes.NewReader(frame)
	h, err := ws.ReadHeader(r)
	if err != nil || !h.Rsv1() || h.OpCode != ws.OpText || !h.Fin || int(h.Length) != r.Len() {
		t.Fatalf("header %+v, %v, before %d bytes", h, err, r.Len())
	}
	end := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")
	got, err := io.ReadAll(flate.NewReader(io.MultiReader(r, end)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}
