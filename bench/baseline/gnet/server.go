package main

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"
)

const (
	maxHead    = 8 << 10
	maxPayload = 64 << 10
)

var (
	headEnd         = []byte("\r\n\r\n")
	broadcastPrefix = []byte("!broadcast ")
)

// session is the state of one connection: nil before the upgrade.
type session struct{ loop *loop }

// loop is what one event loop owns. Its connections are touched on it alone.
type loop struct {
	gl    gnet.EventLoop
	conns map[gnet.Conn]struct{}
	me    session // the context of every upgraded connection of this loop
	out   []byte
}

type server struct {
	gnet.BuiltinEventEngine
	loops sync.Map // gnet.EventLoop → *loop
}

func newServer() *server { return &server{} }

func (s *server) loopOf(c gnet.Conn) *loop {
	gl := c.EventLoop()
	if l, ok := s.loops.Load(gl); ok {
		return l.(*loop)
	}
	l := &loop{gl: gl, conns: make(map[gnet.Conn]struct{})}
	l.me.loop = l
	s.loops.Store(gl, l)
	return l
}

// OnClose forgets the connection.
func (s *server) OnClose(c gnet.Conn, _ error) gnet.Action {
	if me, ok := c.Context().(*session); ok {
		delete(me.loop.conns, c)
	}
	return gnet.None
}

// OnTraffic upgrades the connection, then answers each whole frame.
func (s *server) OnTraffic(c gnet.Conn) gnet.Action {
	me, ok := c.Context().(*session)
	if !ok {
		return s.upgrade(c)
	}
	l := me.loop
	l.out = l.out[:0]
	for {
		buf, _ := c.Peek(-1)
		r := bytes.NewReader(buf)
		h, err := ws.ReadHeader(r)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil || h.Length > maxPayload {
			return gnet.Close
		}
		start := len(buf) - r.Len()
		end := start + int(h.Length)
		if end > len(buf) {
			break
		}
		payload := buf[start:end]
		ws.Cipher(payload, h.Mask, 0)
		if !s.frame(l, h, payload) {
			return gnet.Close
		}
		c.Discard(end)
	}
	if len(l.out) > 0 {
		c.Write(l.out)
	}
	return gnet.None
}

// upgrade waits for the whole request and answers it.
func (s *server) upgrade(c gnet.Conn) gnet.Action {
	buf, _ := c.Peek(-1)
	end := bytes.Index(buf, headEnd)
	if end < 0 {
		if len(buf) > maxHead {
			return gnet.Close
		}
		return gnet.None
	}
	var answer bytes.Buffer
	_, err := ws.Upgrader{}.Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(buf[:end+len(headEnd)]), &answer})
	c.Write(answer.Bytes())
	if err != nil {
		return gnet.Close
	}
	c.Discard(end + len(headEnd))
	l := s.loopOf(c)
	l.conns[c] = struct{}{}
	c.SetContext(&l.me)
	if c.InboundBuffered() > 0 {
		return s.OnTraffic(c)
	}
	return gnet.None
}

// frame appends the answer to one frame; false ends the connection.
func (s *server) frame(l *loop, h ws.Header, payload []byte) bool {
	switch h.OpCode {
	case ws.OpText, ws.OpBinary, ws.OpContinuation: // a fragment is echoed as one
		if rest, all := bytes.CutPrefix(payload, broadcastPrefix); all {
			s.broadcast(h.OpCode, rest)
			return true
		}
		l.out = appendFrame(l.out, h.Fin, h.OpCode, payload)
	case ws.OpPing:
		l.out = appendFrame(l.out, true, ws.OpPong, payload)
	case ws.OpClose:
		return false
	}
	return true
}

// broadcast has every loop write the frame to each of its connections.
func (s *server) broadcast(op ws.OpCode, payload []byte) {
	frame := appendFrame(nil, true, op, payload)
	s.loops.Range(func(_, v any) bool {
		l := v.(*loop)
		l.gl.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
			for c := range l.conns {
				c.Write(frame)
			}
			return nil
		}))
		return true
	})
}

func appendFrame(dst []byte, fin bool, op ws.OpCode, payload []byte) []byte {
	b := bytes.NewBuffer(dst)
	ws.WriteHeader(b, ws.Header{Fin: fin, OpCode: op, Length: int64(len(payload))})
	b.Write(payload)
	return b.Bytes()
}
