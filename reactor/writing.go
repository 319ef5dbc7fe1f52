package reactor

import (
	"github.com/gobwas/ws"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

const opClose = ws.OpClose

// write hands b to the socket and reports whether the connection still is.
// gnet keeps what the kernel does not take, without a limit: callers check
// room first, except for the few bytes of a ping or a close frame.
func (l *loop) write(c *conn, b []byte) bool {
	socket := l.slab.socket(c)
	before := socket.OutboundBuffered()
	if _, err := socket.Write(b); err != nil || c.state == free { // an error has closed it already
		return false
	}
	l.noteUnsent(c, before)
	l.count.writes.Add(1)
	l.count.bytesOut.Add(uint64(len(b)))
	return true
}

// room tells whether a session may have n more unsent bytes. One that has none
// has read all that it was sent, so it may have a message of any size.
func (l *loop) room(c *conn, n int) bool {
	unsent := l.slab.socket(c).OutboundBuffered()
	limit := l.engine.outboundLimit()
	return unsent == 0 || unsent+n <= limit
}

// reply queues a message for the connection whose event is being handled.
func (l *loop) reply(c *conn, op session.Opcode, payload []byte) {
	if c.state != open {
		return
	}
	l.count.messagesOut.Add(1)
	if c.is(flagDeflate) {
		l.replies = l.engine.deflater.AppendFrame(l.replies, ws.OpCode(op), payload)
	} else {
		l.replies = wsproto.AppendFrame(l.replies, ws.OpCode(op), false, payload)
	}
	l.spillReplies(c)
}

// spillReplies writes early when an event produces more than one write should
// carry.
func (l *loop) spillReplies(c *conn) {
	if len(l.replies) >= scratchLimit {
		l.writeReplies(c)
	}
}

// writeReplies sends what the event has produced, and holds the session to
// its outbound limit.
func (l *loop) writeReplies(c *conn) {
	if c.state == open && !l.room(c, len(l.replies)) {
		l.slow(c)
		return
	}
	l.flushReplies(c)
}

// flushReplies sends what the event has produced, whatever the limit says. It
// reports whether the connection still is.
func (l *loop) flushReplies(c *conn) bool {
	if len(l.replies) == 0 {
		return c.state != free
	}
	b := l.replies
	l.replies = nil // closed, called by a failing write, must not see them
	ok := l.write(c, b)
	l.replies = trim(b)[:0]
	return ok
}

// trim lets go of a scratch buffer that a large message has stretched.
func trim(b []byte) []byte {
	if cap(b) > 2*scratchLimit {
		return nil
	}
	return b
}

// slow ends a session that does not read what it is sent. What gnet holds for
// it is within its outbound limit; the close frame goes behind that.
func (l *loop) slow(c *conn) {
	l.replies = l.replies[:0]
	for f := l.outbox.pop(c); f != nil; f = l.outbox.pop(c) {
		l.count.droppedSlow[f.priority].Add(1)
	}
	l.closeWith(c, session.SlowConsumer, "")
	l.flushReplies(c)
}

// readMail moves mail into the outbox and writes some of it. What is left
// after a batch waits for the next turn, so that sockets with input are heard
// in between; mail that arrives meanwhile joins the same writes, as long as the
// outbox has room.
func (l *loop) readMail() {
	l.sortMail()
	if l.flushSome(flushBatch) || l.nextMail < len(l.mails) || !l.mailbox.sleep() {
		// Not Execute from here: gnet runs tasks until there are none
		// before it looks at its sockets again.
		l.engine.again <- l
	}
}

// sortMail deals with the mail that the mailbox holds now, until the outbox is
// full. The mailbox is emptied only when all taken before is dealt with, so it
// fills up, and refuses, while the sockets take longer than the mail to come.
func (l *loop) sortMail() {
	if l.nextMail == len(l.mails) {
		l.mails, l.nextMail = l.mailbox.takeAll(l.mails), 0
	}
	for ; l.nextMail < len(l.mails) && !l.outbox.full(int(l.engine.mailboxBytes.Load())); l.nextMail++ {
		l.deliver(&l.mails[l.nextMail])
		l.mails[l.nextMail] = mail{} // lets the frame go
	}
}

// deliver does what one mail asks for.
func (l *loop) deliver(m *mail) {
	l.outbox.taken += mailOverhead + m.frame.size()
	var out Outcome
	switch m.kind {
	case mailSend:
		l.enqueue(l.slab.find(m.slot, m.gen), m.frame, &out)
	case mailMulticast:
		for _, id := range m.ids {
			l.enqueue(l.slab.find(id.Slot, id.Generation), m.frame, &out)
		}
	case mailBroadcast:
		for i := range l.slab.size() {
			if c := l.slab.at(i); c.state == open {
				l.enqueue(c, m.frame, &out)
			}
		}
	case mailClose:
		if c := l.slab.find(m.slot, m.gen); c != nil {
			l.closeWith(c, m.reason, "")
		}
	case mailDrain:
		l.drain.begin(l, m.window)
	case mailDecide:
		if c := l.slab.find(m.slot, m.gen); c != nil && c.state == undecided {
			l.decided(c, m.verdict)
		}
	case mailExtend:
		if c := l.slab.find(m.slot, m.gen); c != nil && c.state == open {
			l.expireAt(c, m.due)
		}
	}
	l.count.offline.Add(uint64(out.Offline))
	m.receipt.add(out)
}

// enqueue puts f into the outbox for c, which is nil when it has gone.
func (l *loop) enqueue(c *conn, f *frame, out *Outcome) {
	switch {
	case c == nil || c.state != open:
		out.Offline++
	case f.priority == session.Low && l.engine.pressure.Load().DropLow:
		l.count.droppedLoad.Add(1)
		out.Dropped++
	case f.priority == session.Low && !l.room(c, len(f.plain)):
		l.count.droppedSlow[session.Low].Add(1)
		out.Dropped++
	case !l.room(c, 0):
		l.count.droppedSlow[f.priority].Add(1)
		out.Dropped++
		l.slow(c)
	default:
		l.outbox.queue(c, f)
		out.Delivered++
	}
}

// flushSome writes to at most n sockets and reports whether more are waiting.
func (l *loop) flushSome(n int) bool {
	for ; n > 0; n-- {
		slot, ok := l.outbox.nextDirty()
		if !ok {
			return false
		}
		c := l.slab.bySlot(slot)
		c.clear(flagQueued)
		l.flush(c)
		if l.crowd.tight {
			l.thinOut()
		}
	}
	return l.outbox.pending()
}

// flush writes all that c has waiting in the outbox, in one write where it
// fits, and reports whether the connection still is.
func (l *loop) flush(c *conn) bool {
	if c.outHead == 0 {
		return c.state != free
	}
	l.gather = l.gather[:0]
	for f := l.outbox.pop(c); f != nil; f = l.outbox.pop(c) {
		b := f.bytesFor(l.engine, c)
		if !l.room(c, len(l.gather)+len(b)) {
			l.count.droppedSlow[f.priority].Add(1)
			if f.priority == session.Low {
				continue
			}
			if l.write(c, l.gather) {
				l.slow(c)
			}
			return false
		}
		l.count.messagesOut.Add(1)
		if len(l.gather) == 0 && c.outHead == 0 {
			return l.write(c, b) // a single frame needs no copy
		}
		if len(l.gather)+len(b) > scratchLimit && len(l.gather) > 0 {
			if !l.write(c, l.gather) {
				return false
			}
			l.gather = l.gather[:0]
		}
		l.gather = append(l.gather, b...)
	}
	if len(l.gather) == 0 {
		return true
	}
	ok := l.write(c, l.gather)
	l.gather = trim(l.gather)
	return ok
}
