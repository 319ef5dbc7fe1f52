package load

import (
	"encoding/binary"
)

// receive takes bytes of one connection in the order of their arrival.
func (e *Engine) receive(slot uint32, c *conn, b []byte) {
	if c.state != stateOpen {
		if b = e.answer(slot, c, b); len(b) == 0 {
			return
		}
	}
	e.frames(slot, c, b)
}

// answer reads the server's answer to the upgrade and returns the bytes
// behind it.
func (e *Engine) answer(slot uint32, c *conn, b []byte) []byte {
	if c.flags&flagSide != 0 {
		s := e.side(slot, c)
		s.in = append(s.in, b...)
		b = s.in
	}
	a, err := parseAnswer(b, e.key.accept)
	switch {
	case err != nil:
		e.fail(slot, c, kindOfAnswerError(err))
		return nil
	case a.length == 0: // incomplete
		if c.flags&flagSide == 0 {
			s := e.side(slot, c)
			s.in = append(s.in, b...)
		}
		return nil
	case a.status != 101:
		e.release(slot, c)
		e.dialFailed(slot, kindOfStatus(a.status), a.retryAfterMs)
		return nil
	}
	rest := b[a.length:]
	if c.flags&flagSide != 0 {
		rest = append(e.scratch[:0], rest...) // s.in goes back to the pool
		e.scratch = rest
		e.dropSide(slot, c)
	}
	due := c.due
	c.state = stateOpen
	e.counts.Dialing--
	e.counts.Open++
	e.counts.Opened++
	d := e.dialers[slot]
	delete(e.dialers, slot)
	d.opened(slot, due)
	return rest
}

// frames takes the bytes of an open connection. Payload is skipped, never
// stored: only the header, the stamp and control payloads are looked at.
func (e *Engine) frames(slot uint32, c *conn, b []byte) {
	gen := c.gen
	for len(b) > 0 && c.gen == gen {
		if c.skip > 0 {
			n := min(int(c.skip), len(b))
			c.skip -= uint32(n)
			b = b[n:]
			if c.skip == 0 {
				e.frameDone(slot, c)
			}
			continue
		}
		old := 0
		start := b
		if c.flags&flagSide != 0 {
			if s := e.sides[slot]; len(s.in) > 0 {
				old = len(s.in)
				s.in = append(s.in, b[:min(len(b), maxStart)]...)
				start = s.in
			}
		}
		h, ok, err := parseFrameHead(start)
		if err != nil {
			e.fail(slot, c, KindProtocol)
			return
		}
		need := h.length + lookedAt(h)
		if !ok || len(start) < need {
			if old == 0 {
				s := e.side(slot, c)
				s.in = append(s.in, b...)
			}
			return
		}
		e.frameStart(slot, c, h, start[h.length:need])
		if c.gen != gen {
			return
		}
		if old > 0 {
			s := e.sides[slot]
			s.in = s.in[:0]
			if s.idle() {
				e.dropSide(slot, c)
			}
		}
		b = b[need-old:]
	}
}

// maxStart is the most of a frame that is ever looked at: the longest header
// and a control payload.
const maxStart = 10 + maxControl

// lookedAt is how much of the payload must be there before a frame is begun.
func lookedAt(h frameHead) int {
	switch h.op {
	case opText, opBinary:
		return min(h.size, StampLen)
	case opContinuation:
		return 0
	default:
		return h.size
	}
}

// frameStart handles a header and the part of the payload that matters.
func (e *Engine) frameStart(slot uint32, c *conn, h frameHead, head []byte) {
	switch h.op {
	case opPing:
		e.counts.Pings++
		e.scratch = appendMasked(e.scratch[:0], opPong, e.mask, head)
		e.write(slot, c, e.scratch)
		return
	case opPong:
		return
	case opClose:
		e.closedByServer(slot, c, head)
		return
	}
	rest := h.size - len(head)
	stamp, stamped := Stamp{}, false
	if h.op != opContinuation {
		stamp, stamped = ParseStamp(head)
	}
	if rest == 0 && h.fin && c.flags&flagSide == 0 {
		e.message(slot, c, stamp, stamped, h.size) // the common case: all of it is here
		return
	}
	s := e.side(slot, c)
	if h.op != opContinuation {
		s.stamp, s.stamped, s.size = stamp, stamped, 0
	}
	s.size += h.size
	s.fragment = !h.fin
	if c.skip = uint32(rest); rest == 0 {
		e.frameDone(slot, c)
	}
}

// frameDone is called with the last byte of a frame that has a side entry.
func (e *Engine) frameDone(slot uint32, c *conn) {
	s := e.sides[slot]
	if s.fragment {
		return
	}
	stamp, stamped, size := s.stamp, s.stamped, s.size
	s.stamp, s.stamped, s.size = Stamp{}, false, 0
	if s.idle() {
		e.dropSide(slot, c)
	}
	e.message(slot, c, stamp, stamped, size)
}

// message is called once for every whole data message.
func (e *Engine) message(slot uint32, c *conn, stamp Stamp, stamped bool, size int) {
	e.counts.Received++
	switch {
	case !stamped:
		e.counts.Unstamped++
	case e.listen != nil:
		e.listen.heard(stamp)
	case e.traffic != nil:
		e.traffic.answered(slot, c, stamp, size)
	}
}

// closedByServer answers a close frame (RFC 6455 section 5.5.1) and counts
// the loss under its code.
func (e *Engine) closedByServer(slot uint32, c *conn, payload []byte) {
	code := 1005 // no status received
	if len(payload) >= 2 {
		code = int(binary.BigEndian.Uint16(payload))
	}
	e.scratch = appendMasked(e.scratch[:0], opClose, e.mask, payload[:min(2, len(payload))])
	_, _ = write(int(c.fd), e.scratch)
	e.fail(slot, c, kindOfCloseCode(code))
}
