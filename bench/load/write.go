package load

import "golang.org/x/sys/unix"

// maxBacklog bounds the messages of one connection that wait for its socket.
const maxBacklog = 4096

// write sends a whole frame, or keeps what the socket did not take. frame is
// borrowed. It returns false when the connection has failed.
func (e *Engine) write(slot uint32, c *conn, frame []byte) bool {
	if c.flags&flagSide != 0 {
		if s := e.sides[slot]; len(s.out) > 0 {
			if len(s.out) < readBuffer { // pongs behind a full socket: bounded
				s.out = append(s.out, frame...)
			}
			return true
		}
	}
	n, err := write(int(c.fd), frame)
	if err == unix.EAGAIN {
		n, err = 0, nil
	}
	if err != nil {
		e.fail(slot, c, kindOfErrno(err))
		return false
	}
	e.counts.BytesOut += uint64(n)
	if n < len(frame) {
		s := e.side(slot, c)
		s.out = append(s.out, frame[n:]...)
	}
	return true
}

// blocked says that the connection's socket took no more at the last write.
func (e *Engine) blocked(slot uint32, c *conn) bool {
	return c.flags&flagSide != 0 && len(e.sides[slot].out) > 0
}

// flush writes what waits, then the backlog of the traffic.
func (e *Engine) flush(slot uint32, c *conn) bool {
	s := e.sides[slot]
	for len(s.out) > 0 {
		n, err := write(int(c.fd), s.out)
		if err == unix.EAGAIN {
			return true
		}
		if err != nil {
			e.fail(slot, c, kindOfErrno(err))
			return false
		}
		e.counts.BytesOut += uint64(n)
		if s.out = append(s.out[:0], s.out[n:]...); len(s.out) > 0 {
			continue
		}
		if len(s.backlog) > 0 && e.traffic != nil {
			due := s.backlog[0]
			s.backlog = append(s.backlog[:0], s.backlog[1:]...)
			s.out = append(s.out, e.traffic.frame(due)...)
			c.sent++
			e.counts.Sent++
			e.traffic.result.Sent++
		}
	}
	if s.idle() {
		e.dropSide(slot, c)
	}
	return true
}
