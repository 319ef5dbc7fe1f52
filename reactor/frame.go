package reactor

import (
	"sync"

	"github.com/gobwas/ws"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// Push is a message on its way to sessions.
type Push struct {
	Opcode   session.Opcode
	Priority session.Priority // what becomes of it when a session does not read
	Payload  []byte           // borrowed for the call
	Receipt  *Receipt         // told what became of it; nil for nobody
}

// frame is a message encoded once for all who get it. It is immutable, apart
// from the compressed form that is made when the first session that
// negotiated compression needs it.
type frame struct {
	plain    []byte // header and payload
	header   int    // length of the header in plain
	op       ws.OpCode
	priority session.Priority
	deflate  sync.Once
	deflated []byte
}

func newFrame(p *Push) *frame {
	op := ws.OpCode(p.Opcode)
	plain := wsproto.AppendFrame(make([]byte, 0, len(p.Payload)+ws.MaxHeaderSize), op, false, p.Payload)
	return &frame{plain: plain, header: len(plain) - len(p.Payload), op: op, priority: p.Priority}
}

// size is what the frame counts for in a mailbox; a mail without one is free.
func (f *frame) size() int {
	if f == nil {
		return 0
	}
	return len(f.plain)
}

// bytesFor returns what goes to a session's socket.
func (f *frame) bytesFor(e *Engine, c *conn) []byte {
	if !c.is(flagDeflate) {
		return f.plain
	}
	f.deflate.Do(func() {
		f.deflated = e.deflater.AppendFrame(nil, f.op, f.plain[f.header:])
	})
	return f.deflated
}
