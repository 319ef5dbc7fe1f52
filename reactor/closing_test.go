package reactor

import (
	"strconv"
	"testing"

	"github.com/gobwas/ws"

	"github.com/limpet-gateway/limpet/internal/session"
)

// A loop that has more sockets to write to than one turn takes hears its
// sockets in between. A push that waits for a session which ends there is not sent
// behind the close frame (RFC 6455 section 5.5.1), and counts as one that met
// nobody.
func TestNothingFollowsACloseFrame(t *testing.T) {
	for name, offence := range map[string][]byte{
		"no mask":         {0x81, 0x00},
		"reserved opcode": masked(0x3, true, nil),
		"not UTF-8":       masked(ws.OpText, true, []byte("\xff")),
	} {
		t.Run(name, func(t *testing.T) {
			l := newHandDrivenLoop(t, Config{}, &mute{})
			k := &keeper{}
			l.accept(k)
			c := k.ctx.(*conn)
			k.in = []byte(request("dev1"))
			l.receive(c, k)
			k.got = nil

			l.mailbox.awake = true // nobody has to wake it
			all := []*loop{l}
			l.engine.loops.Store(&all)
			receipt := NewReceipt()
			if err := l.engine.Send(l.id(c), Push{Opcode: session.Text, Payload: []byte("late"), Receipt: receipt}); err != nil {
				t.Fatal(err)
			}
			l.sortMail()
			k.in = offence
			l.receive(c, k)
			l.flushSome(flushBatch)

			if c.state != lingering || len(k.got) != 1 || ws.OpCode(k.got[0][0]&0x0f) != ws.OpClose {
				t.Errorf("state %d after writes %q, want a close frame alone", c.state, k.got)
			}
			if out, sent := l.count.offline.Load(), l.count.messagesOut.Load(); out != 1 || sent != 0 {
				t.Errorf("%d pushes count as offline and %d as sent, want 1 and 0", out, sent)
			}
		})
	}
}

// The same with sockets: the client sees the close frame and then an orderly
// end. Room for the end of a batch of writes is made by sessions that come first.
func TestAPushDoesNotCutALingeringCloseShort(t *testing.T) {
	const others = flushBatch + 50
	h := &recorder{}
	e := startEngine(t, Config{Loops: 1}, h)
	for i := range others {
		dialRaw(t, e).upgrade(strconv.Itoa(i))
	}
	bad := dialRaw(t, e)
	bad.upgrade("bad") // the last in the slab, so the last to be written to
	receipt := NewReceipt()
	receipt.Then(func(Outcome) { // on the loop, before it writes
		bad.send(masked(ws.OpText, true, []byte("\xff")))
	})
	if err := e.Broadcast(Push{Opcode: session.Text, Payload: []byte("all"), Receipt: receipt}); err != nil {
		t.Fatal(err)
	}
	bad.expectClose(1007)
	bad.expectEnd()
	if reason := h.waitEnd(t, "bad"); reason != session.BadPayload {
		t.Errorf("it ended for %v", reason)
	}
	if s := e.Stats(); s.MessagesOut != others || s.Offline != 1 {
		t.Errorf("%d sent and %d offline, want %d and 1", s.MessagesOut, s.Offline, others)
	}
}
