package reactor

import (
	"errors"
	"testing"

	"github.com/limpet-gateway/limpet/internal/session"

	"pgregory.net/rapid"
)

// Whatever is queued and taken, each connection gets its own frames in order,
// and the count of bytes is that of what waits.
func TestOutboxProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o outbox
		o.init()
		conns := make([]*conn, 4)
		want := make([][]*frame, len(conns))
		for i := range conns {
			conns[i] = &conn{slot: uint32(i)}
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			i := rapid.IntRange(0, len(conns)-1).Draw(t, "conn")
			switch rapid.IntRange(0, 4).Draw(t, "op") {
			case 0, 1, 2:
				f := &frame{plain: make([]byte, rapid.IntRange(0, 9).Draw(t, "size"))}
				o.queue(conns[i], f)
				want[i] = append(want[i], f)
			case 3:
				got := o.pop(conns[i])
				if len(want[i]) == 0 {
					if got != nil {
						t.Fatal("a frame from nowhere")
					}
				} else {
					if got != want[i][0] {
						t.Fatal("wrong frame, or wrong order")
					}
					want[i] = want[i][1:]
				}
			case 4:
				if n := o.drop(conns[i]); n != len(want[i]) {
					t.Fatalf("dropped %d of %d", n, len(want[i]))
				}
				want[i] = nil
			}
			bytes := 0
			for _, fs := range want {
				for _, f := range fs {
					bytes += len(f.plain)
				}
			}
			if o.bytes != bytes {
				t.Fatalf("counts %d bytes, %d wait", o.bytes, bytes)
			}
		}
	})
}

func TestOutboxDirtyOncePerConnection(t *testing.T) {
	var o outbox
	o.init()
	a, b := &conn{slot: 1}, &conn{slot: 2}
	f := &frame{plain: []byte("x")}
	for _, c := range []*conn{a, b, a, a} {
		o.queue(c, f)
	}
	var got []uint32
	for {
		slot, ok := o.nextDirty()
		if !ok {
			break
		}
		got = append(got, slot)
	}
	if len(got) != 2 || got[0] != 1 || got[1] != 2 {
		t.Fatalf("dirty = %v, want [1 2]", got)
	}
}

// Broadcasts that come faster than the sockets take them fill the mailbox, which
// refuses, and not the memory; and none that was accepted is forgotten.
func TestBroadcastsFasterThanSockets(t *testing.T) {
	l := newHandDrivenLoop(t, Config{MailboxItems: 500}, &mute{})
	l.engine.loops.Store(&[]*loop{l})
	l.mailbox.wake = func() error { l.engine.again <- l; return nil }
	const sessions = 4000
	var first *sink
	for range sessions {
		_, s := join(t, l)
		if first == nil {
			first = s
		}
	}
	before := first.out
	accepted, refused, most := 0, 0, 0
	put := func() {
		err := l.engine.Broadcast(Push{Opcode: session.Text, Payload: []byte("12345678")})
		switch {
		case err == nil:
			accepted++
		case errors.Is(err, ErrFull):
			refused++
		default:
			t.Fatal(err)
		}
	}
	for turn := 0; ; turn++ {
		if turn < 100 {
			for range 60 {
				put()
			}
		}
		select {
		case <-l.engine.again:
			l.readMail()
		default:
			if turn < 100 {
				t.Fatal("the loop sleeps over its mail")
			}
			if accepted*10 != first.out-before || refused == 0 {
				t.Fatalf("%d of %d broadcasts refused, %d bytes of %d accepted written", refused, accepted+refused, first.out-before, accepted)
			}
			if limit := maxWaiting + sessions; most > limit {
				t.Fatalf("%d frames waited at once, want at most %d", most, limit)
			}
			if l.outbox.count != 0 || l.outbox.bytes != 0 {
				t.Fatalf("%d frames of %d bytes left", l.outbox.count, l.outbox.bytes)
			}
			return
		}
		most = max(most, l.outbox.count)
	}
}
