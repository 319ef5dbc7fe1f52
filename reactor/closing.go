package reactor

import (
	"errors"
	"io"

	"github.com/panjf2000/gnet/v2"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// closeError is how a sink ends a connection with a reason of its own.
type closeError struct {
	reason session.CloseReason
	text   string
}

func (e *closeError) Error() string { return e.reason.String() + ": " + e.text }

var (
	// errStop ends decoding for a connection that has gone meanwhile.
	errStop = errors.New("connection gone")
	// errDone ends it after the peer's close frame.
	errDone = errors.New("peer closed")
)

// fail ends c for an error of its input.
func (l *loop) fail(c *conn, err error) gnet.Action {
	var own *closeError
	var proto *wsproto.ProtocolError
	switch {
	case errors.Is(err, errStop):
		return gnet.None
	case errors.Is(err, errDone):
		if l.flushReplies(c) && l.slab.socket(c).OutboundBuffered() > 0 {
			l.linger(c, c.reason) // what the peer has not read yet ends with our close frame
			return gnet.None
		}
		return gnet.Close
	case errors.As(err, &own):
		l.closeAndLinger(c, own.reason, own.reason.Code(), own.text)
	case errors.As(err, &proto):
		l.closeAndLinger(c, reasonOf(proto.Code), proto.Code, proto.Reason)
	default:
		l.engine.cfg.Log.Error("decoder failed", "session", l.id(c), "err", err)
		l.closeAndLinger(c, session.InternalError, session.InternalError.Code(), "")
	}
	return gnet.None
}

func reasonOf(code uint16) session.CloseReason {
	switch code {
	case 1007:
		return session.BadPayload
	case 1009:
		return session.MessageTooBig
	default:
		return session.ProtocolError
	}
}

// closeAndLinger says why and hears no more: after a protocol error nothing
// that follows can be understood, the peer's close frame included
// (RFC 6455 section 7.1.7).
func (l *loop) closeAndLinger(c *conn, reason session.CloseReason, code uint16, text string) {
	if c.state == closing {
		l.cut(c, c.reason)
		return
	}
	l.endUnfinished(c)
	l.count.controlsOut.Add(1)
	l.replies = wsproto.AppendClose(l.replies, code, text)
	if l.flushReplies(c) {
		l.linger(c, reason)
	}
}

// peerCloses answers the peer's close frame, or sees ours answered.
func (l *loop) peerCloses(c *conn, payload []byte) error {
	code, _, err := wsproto.ParseClose(payload)
	if err != nil {
		return err
	}
	if c.state == open {
		c.reason = session.PeerClosed
		l.count.controlsOut.Add(1)
		if code == 1005 { // the peer gave no code: RFC 6455 section 7.1.5
			l.replies = wsproto.AppendFrame(l.replies, opClose, false, nil)
		} else {
			l.replies = wsproto.AppendClose(l.replies, code, "")
		}
	}
	return errDone
}

// closeWith begins the close handshake: all that waits for the session is
// written, then the close frame, and the peer has CloseTimeout to answer.
func (l *loop) closeWith(c *conn, reason session.CloseReason, text string) {
	if c.state != open {
		return
	}
	if reason.Code() == 0 {
		l.cut(c, reason)
		return
	}
	if !l.flush(c) || c.state != open {
		return
	}
	l.enter(c, closing)
	c.reason = reason
	l.count.controlsOut.Add(1)
	l.wheel.schedule(c, l.wheel.now+ticks(l.engine.tuned().CloseTimeout))
	if l.current == c {
		l.replies = wsproto.AppendClose(l.replies, reason.Code(), text)
		return
	}
	l.gather = wsproto.AppendClose(l.gather[:0], reason.Code(), text)
	l.write(c, l.gather)
}

// cut closes the socket at once.
func (l *loop) cut(c *conn, reason session.CloseReason) {
	c.reason = reason
	_ = l.events.Close(l.slab.socket(c)) // calls closed
}

// closed is told by gnet that the socket ends, whoever ended it. It is the
// only place where a connection is given up.
func (l *loop) closed(c *conn, err error) {
	l.wheel.remove(c)
	l.endUndecided(c)
	l.endUnfinished(c)
	l.dropOffline(c)
	if c == l.current {
		l.replies = l.replies[:0]
	}
	if c.is(flagCounted) {
		l.held--
		l.engine.conns.Add(-1)
	} else if c.state == lingering {
		l.lingerers.Add(-1)
	}
	if c.is(flagGated) {
		l.leaveGate(c)
	}
	l.count.conns.Add(-1)
	if c.state == handshaking || c.state == undecided {
		switch c.reason {
		case session.HandshakeTimeout:
			l.count.slowRequests.Add(1)
		case 0: // nobody refused it
			l.count.leftEarly.Add(1)
		}
	}
	if c.is(flagSession) {
		reason := c.reason
		if reason == 0 {
			reason = session.PeerGone
			if err == nil && l.engine.stopping.Load() {
				reason = session.NodeStopped
			} else if err != nil && !errors.Is(err, io.EOF) {
				l.count.socketErrors.Add(1)
			}
		}
		l.count.closed[reason].Add(1)
		l.count.sessions.Add(-1)
		l.engine.handler.Close(Session{l, c}, reason)
	}
	l.enter(c, free)
	l.slab.put(c)
}

// dropOffline forgets what the outbox has for a session that has ended.
func (l *loop) dropOffline(c *conn) {
	if n := l.outbox.drop(c); n > 0 {
		l.count.offline.Add(uint64(n))
	}
}

func (l *loop) endUnfinished(c *conn) {
	u := l.unfinished.of(c)
	if u == nil {
		return
	}
	held := u.held()
	if u.message != nil {
		l.decoder.Release(u.message)
	}
	l.count.unfinished.Add(int64(-held))
	l.unfinished.end(c)
}
