package reactor

import (
	"context"
	"log/slog"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// accept takes a new connection in, or tells it that there is no room.
func (l *loop) accept(socket gnet.Conn) gnet.Action {
	e := l.engine
	l.count.accepted.Add(1)
	c := l.slab.take(socket)
	if c == nil {
		return gnet.Close
	}
	socket.SetContext(c)
	l.count.conns.Add(1)
	l.enter(c, handshaking)
	c.seen = l.wheel.now
	answer := e.tuned().refusal
	last := socket.Fd() >= e.plan.forClients() // others have filled the table
	switch refusal := l.firstGate(c, peer(socket).Addr()); {
	case e.draining.Load():
		l.count.refusedDrain.Add(1)
	case refusal != nil:
		l.count.refusedGate.Add(1)
		answer = refusal
	case e.overloaded():
		l.count.refusedLoad.Add(1)
	case last || !l.admit(c):
		l.count.refusedLimit.Add(1)
	default:
		l.wheel.schedule(c, l.wheel.now+ticks(e.tuned().HandshakeTimeout))
		return gnet.None
	}
	if last || int(l.lingerers.Load()) >= e.plan.lingerMax {
		// No room even to say no politely: the peer may see a reset.
		c.reason = session.PeerGone // it did not leave early
		_, _ = socket.Write(answer)
		return gnet.Close
	}
	l.refuse(c, answer)
	return gnet.None
}

// admit gives c a place below the connection limits: the engine's and, as a
// full descriptor table would end the engine, the table's.
func (l *loop) admit(c *conn) bool {
	e := l.engine
	if e.plan.perLoop && l.held >= e.plan.maxTable {
		return false
	}
	if int(e.conns.Add(1)) > e.tuned().maxConns {
		e.conns.Add(-1)
		return false
	}
	l.held++
	c.set(flagCounted)
	return true
}

// refuse sends an HTTP answer, says that nothing follows, and lets the peer
// read it: closing a socket with unread input resets it, and a reset takes the
// answer with it.
func (l *loop) refuse(c *conn, answer []byte) {
	l.replies = l.replies[:0]
	l.endUndecided(c)
	l.endUnfinished(c)
	c.reason = session.PeerGone // also if the write fails
	if l.write(c, answer) {
		l.linger(c, session.PeerGone)
	}
}

// linger half-closes c and discards what still arrives until the peer closes
// too, or a short time is over. What the outbox has for it would come behind
// the last word.
func (l *loop) linger(c *conn, reason session.CloseReason) {
	if c.state != lingering && !c.is(flagCounted) {
		l.lingerers.Add(1)
	}
	l.enter(c, lingering)
	c.reason = reason
	l.dropOffline(c)
	socket := l.slab.socket(c)
	if socket.OutboundBuffered() == 0 {
		_ = unix.Shutdown(socket.Fd(), unix.SHUT_WR)
	}
	l.wheel.schedule(c, l.wheel.now+ticks(l.engine.tuned().LingerTimeout))
}

// handshake gathers the upgrade request and answers it.
func (l *loop) handshake(c *conn, socket gnet.Conn, buf []byte) gnet.Action {
	up := &l.engine.cfg.Upgrader
	u := l.unfinished.of(c)
	if u != nil {
		// Bounded: Preface.Read and RequestEnd refuse what is above their
		// limits, and one read brings at most readBuffer.
		u.request = append(u.request, buf...)
		l.count.unfinished.Add(int64(len(buf)))
		buf = u.request
	}
	if c.is(flagPreface) {
		var passed bool
		if buf, passed = l.preface(c, socket, buf); !passed {
			return gnet.None
		}
	}
	end, refusal := up.RequestEnd(buf)
	if refusal == nil && end == 0 {
		l.keepRequest(c, buf)
		return gnet.None
	}
	if refusal != nil {
		l.refuseRequest(c, refusal)
		return gnet.None
	}
	return l.answer(c, socket, buf, end, nil)
}

// keepRequest copies what has come of c's request beside the slab, unless it
// is there already.
func (l *loop) keepRequest(c *conn, buf []byte) {
	u := l.unfinished.of(c)
	switch {
	case u == nil:
		u = l.unfinished.begin(c, l.wheel.now)
	case len(u.request) > 0:
		return
	}
	u.request = append([]byte(nil), buf...)
	l.count.unfinished.Add(int64(len(buf)))
}

func (l *loop) refuseRequest(c *conn, refusal *wsproto.Refusal) {
	l.count.refusedHTTP.Add(1)
	// A browser keeps status and reason from the page: its operator finds them here.
	if log := l.engine.cfg.Log; log.Enabled(context.Background(), slog.LevelDebug) {
		log.Debug("a handshake is refused", "client", l.client(c, l.slab.socket(c)), "session", l.id(c),
			"status", refusal.Status, "why", refusal.Reason)
	}
	l.refuse(c, refusal.AppendResponse(nil))
}

// answer deals with a complete request, the first end bytes of buf. verdict is
// nil until the handler's decision, if it put that off, has come.
func (l *loop) answer(c *conn, socket gnet.Conn, buf []byte, end int, verdict any) gnet.Action {
	later, refusal := l.upgrade(c, socket, buf[:end], verdict)
	switch {
	case refusal != nil:
		l.refuseRequest(c, refusal)
		return gnet.None
	case later:
		l.waitForDecision(c, buf, end)
		return gnet.None
	}
	rest := buf[end:] // frames that came with the request
	if u := l.unfinished.of(c); u != nil {
		l.count.unfinished.Add(int64(-len(u.request)))
		l.unfinished.end(c) // rest keeps the bytes alive
	}
	if len(rest) > 0 {
		return l.decode(c, rest)
	}
	return gnet.None
}

// upgrade makes c a session, unless the handler decides later.
func (l *loop) upgrade(c *conn, socket gnet.Conn, head []byte, verdict any) (later bool, _ *wsproto.Refusal) {
	e := l.engine
	r := &l.request
	if refusal := e.cfg.Upgrader.Parse(head, r); refusal != nil {
		return false, refusal
	}
	if verdict == nil && int(e.undecided.Load()) >= e.cfg.MaxUndecided {
		return false, l.tooManyUndecided()
	}
	o := Opening{Request: r, Remote: l.client(c, socket), ID: l.id(c), Verdict: verdict}
	refusal := e.handler.Open(&o)
	if refusal != nil || o.Later && verdict == nil {
		return o.Later, refusal
	}
	var hs wsproto.Handshake
	l.replies, hs = e.cfg.Upgrader.Accept(l.replies, r)
	l.enter(c, open)
	c.ref, c.priority = o.Ref, o.Priority
	c.set(flagSession)
	if hs.Deflate {
		c.set(flagDeflate)
	}
	l.count.opened.Add(1)
	l.count.sessions.Add(1)
	// The first ping comes somewhere in the second half of the interval, so
	// that a wave of reconnects does not become a wave of pings.
	heartbeat := ticks(e.tuned().Heartbeat)
	c.seen = l.wheel.now - uint32(l.rng.IntN(int(heartbeat/2)+1))
	l.wheel.schedule(c, c.seen+heartbeat)
	if !o.Expires.IsZero() {
		l.expireAt(c, e.tickOf(o.Expires))
	}
	if e.draining.Load() {
		l.closeWith(c, session.Draining, l.drain.hint(l))
	}
	return false, nil
}
