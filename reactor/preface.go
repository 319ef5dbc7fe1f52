package reactor

import (
	"log/slog"
	"net"
	"net/netip"

	"github.com/panjf2000/gnet/v2"

	"github.com/limpet-gateway/limpet/wsproto"
)

// A connection that a load balancer passes on begins with a header that names
// the client. It is part of the handshake: the same deadline, kept beside the
// slab while it is not complete. Of the client's address the loop keeps, once
// there is a session, only what the gate calls its source.

// peer is the other end of the socket. gnet keeps it until OnClose has
// returned, so it need not be kept here.
func peer(socket gnet.Conn) netip.AddrPort {
	tcp, ok := socket.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	a := tcp.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// client is who the upgrade request comes from, during the handshake.
func (l *loop) client(c *conn, socket gnet.Conn) netip.AddrPort {
	if u := l.unfinished.of(c); u != nil && u.client.IsValid() {
		return u.client
	}
	return peer(socket)
}

// firstGate asks the gate about a connection that was just accepted, unless
// its header has to be read before.
func (l *loop) firstGate(c *conn, from netip.Addr) (refusal []byte) {
	if p := l.engine.cfg.Preface; p != nil && p.Due(from) {
		c.set(flagPreface)
		return nil
	}
	return l.gate(c, from, false)
}

// gate asks the gate about a client, and returns the answer for one that it
// refuses. behind says that the socket does not tell who the client is.
func (l *loop) gate(c *conn, client netip.Addr, behind bool) (refusal []byte) {
	g := l.engine.cfg.Gate
	if g == nil {
		return nil
	}
	source := g.Source(client)
	counted, status, retryAfter := g.Admit(source)
	if counted {
		c.set(flagGated)
		if behind {
			l.slab.setSource(c, source)
		}
	}
	if status == 0 {
		return nil
	}
	r := wsproto.NewRefusal(status, "too many connections; come back later")
	r.RetryAfter = retryAfter
	return r.AppendResponse(nil)
}

// leaveGate tells the gate that c, which it has counted, has ended.
func (l *loop) leaveGate(c *conn) {
	g := l.engine.cfg.Gate
	source := l.slab.source(c)
	if source == 0 {
		source = g.Source(peer(l.slab.socket(c)).Addr())
	}
	g.Leave(source)
}

// preface reads the header that is due from c, and returns what came behind
// it. It returns false where more of the header is to come, and where the
// connection is refused for it. buf is all that c has sent.
func (l *loop) preface(c *conn, socket gnet.Conn, buf []byte) (rest []byte, passed bool) {
	client, n, err := l.engine.cfg.Preface.Read(buf)
	switch {
	case err != nil:
		l.refusePreface(c, socket, err)
		return nil, false
	case n == 0:
		l.keepRequest(c, buf)
		return nil, false
	}
	c.clear(flagPreface)
	rest = buf[n:]
	u := l.unfinished.of(c)
	if u != nil { // it came in pieces
		l.count.unfinished.Add(int64(-n))
		u.request = rest // may be empty
	}
	behind := client.IsValid()
	if !behind {
		client = peer(socket)
	} else {
		if u == nil {
			u = l.unfinished.begin(c, l.wheel.now)
		}
		u.client = client
	}
	if refusal := l.gate(c, client.Addr(), behind); refusal != nil {
		l.count.refusedGate.Add(1)
		l.refuse(c, refusal)
		return nil, false
	}
	return rest, true
}

func (l *loop) refusePreface(c *conn, socket gnet.Conn, why error) {
	l.count.refusedProxy.Add(1)
	l.engine.cfg.Log.Debug("a connection is refused for its PROXY header", slog.Any("peer", peer(socket)), slog.Any("why", why))
	l.refuse(c, wsproto.NewRefusal(400, why.Error()).AppendResponse(nil))
}
