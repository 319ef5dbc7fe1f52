package reactor

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// loop is one gnet event loop and all that belongs to its connections. Fields
// without a note are owned by the loop and have no locks.
type loop struct {
	// Fixed at construction.
	engine *Engine
	number int
	events gnet.EventLoop
	onMail gnet.Runnable // made once, so that a wakeup does not allocate them
	onTick gnet.Runnable
	onThin gnet.Runnable

	// Safe from anywhere.
	mailbox    mailbox
	count      counters
	tickPosted atomic.Bool
	postedAt   atomic.Int64  // when, as time since the engine's tick 0
	lingerers  *atomic.Int64 // refused connections that linger in the loop's descriptor table

	slab       slab
	wheel      wheel
	outbox     outbox
	unfinished unfinishedSet
	decoder    *wsproto.Decoder
	rng        *rand.Rand
	mails      []mail // taken from the mailbox; those before nextMail are dealt with
	nextMail   int
	drain      drainPlan
	shed       shedPlan
	crowd      crowd
	trimmed    uint32 // tick of the last look for unused buffers
	held       int    // connections that hold a place below the limit

	// What the connection whose event is being handled will be sent at the
	// end of the event; current is nil outside of one.
	current *conn
	request wsproto.Request // scratch of the handshake
	replies []byte
	whole   bool   // the event brought at least one whole message
	gather  []byte // scratch for one write of several frames
}

func newLoop(e *Engine, number int, el gnet.EventLoop) *loop {
	l := &loop{
		engine:  e,
		number:  number,
		events:  el,
		slab:    newSlab(number, e.slots),
		decoder: wsproto.NewDecoder(e.cfg.Decoder),
		rng:     rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
	if l.lingerers = &e.lingerers; e.plan.perLoop {
		l.lingerers = new(atomic.Int64)
	}
	l.wheel.init(&l.slab)
	l.outbox.init()
	l.unfinished.init()
	l.onMail = gnet.RunnableFunc(func(context.Context) error { l.readMail(); return nil })
	l.onTick = gnet.RunnableFunc(func(context.Context) error { l.tick(); return nil })
	l.onThin = gnet.RunnableFunc(func(context.Context) error { l.thinOut(); return nil })
	l.mailbox = mailbox{
		maxItems: e.cfg.MailboxItems,
		maxBytes: &e.mailboxBytes,
		wake:     l.wakeForMail,
	}
	return l
}

func (l *loop) wakeForMail() error {
	if err := l.events.Execute(context.Background(), l.onMail); err != nil {
		return ErrClosed
	}
	return nil
}

// postTick asks the loop to look at its wheel. Ticks that a busy loop has not
// come to yet are made up for by the next one. Any goroutine.
func (l *loop) postTick() {
	if l.tickPosted.CompareAndSwap(false, true) {
		l.postedAt.Store(int64(time.Since(l.engine.born)))
		if l.events.Execute(context.Background(), l.onTick) != nil {
			l.tickPosted.Store(false)
		}
	}
}

// tick moves the wheel to the present.
func (l *loop) tick() {
	l.count.lag.Store(int64(time.Since(l.engine.born)) - l.postedAt.Load())
	l.tickPosted.Store(false)
	l.advance(l.engine.ticksSinceStart() - l.wheel.now)
	l.drain.step(l)
	l.shed.step(l, l.engine.pressure.Load().Shed)
	l.countUnsent()
	l.thinOut()
	l.count.outbox.Store(int64(l.outbox.bytes))
	l.count.state.Store(int64(l.stateBytes()))
	if l.wheel.now-l.trimmed >= trimTicks {
		l.trimmed = l.wheel.now
		l.outbox.trim()
		l.decoder.Trim()
	}
}

// OnOpen implements gnet.EventHandler: a connection was accepted by its loop.
func (e *Engine) OnOpen(socket gnet.Conn) ([]byte, gnet.Action) {
	l := e.loopOf(socket.EventLoop())
	if l == nil {
		var err error
		if l, err = e.addLoop(socket.EventLoop(), socket.Fd()); err != nil {
			e.cfg.Log.Error("an event loop cannot serve", "err", err)
			return nil, gnet.Shutdown
		}
		l.wheel.now = e.ticksSinceStart()
	}
	return nil, l.accept(socket)
}

// OnTraffic implements gnet.EventHandler: bytes arrived.
func (e *Engine) OnTraffic(socket gnet.Conn) gnet.Action {
	c, ok := socket.Context().(*conn)
	if !ok {
		return gnet.Close
	}
	return e.allLoops()[e.slots.loop(c.slot)].receive(c, socket)
}

// OnClose implements gnet.EventHandler: the socket is about to be closed, by
// the peer, by an error or by us.
func (e *Engine) OnClose(socket gnet.Conn, err error) gnet.Action {
	if c, ok := socket.Context().(*conn); ok {
		e.allLoops()[e.slots.loop(c.slot)].closed(c, err)
	}
	return gnet.None
}

func (l *loop) id(c *conn) session.ID {
	return session.ID{Incarnation: l.engine.cfg.Incarnation, Slot: c.slot, Generation: c.gen}
}

// receive deals with what one connection sent. All of it is consumed: what is
// unfinished is kept beside the slab, so gnet never allocates a ring for it.
func (l *loop) receive(c *conn, socket gnet.Conn) gnet.Action {
	buf, _ := socket.Next(-1)
	l.count.bytesIn.Add(uint64(len(buf)))
	c.seen = l.wheel.now
	c.clear(flagPinged)
	l.current = c
	action := gnet.None
	switch c.state {
	case handshaking:
		action = l.handshake(c, socket, buf)
	case undecided:
		l.early(c, buf)
	case open, closing:
		action = l.decode(c, buf)
	}
	l.current = nil
	if len(l.replies) > 0 {
		l.writeReplies(c)
	}
	if l.crowd.tight && !l.crowd.posted {
		// Not here: gnet may hold events of others whom that would close.
		l.crowd.posted = l.events.Execute(context.Background(), l.onThin) == nil
	}
	return action
}

// decode feeds input to the frame decoder, which calls Message and Control.
func (l *loop) decode(c *conn, buf []byte) gnet.Action {
	var before *wsproto.Partial
	held := 0
	if u := l.unfinished.of(c); u != nil {
		before, held = u.message, u.message.Buffered()
		u.message = nil // the decoder's meanwhile, even if the connection ends below
	}
	l.whole = false
	after, err := l.decoder.Feed(before, c.is(flagDeflate), buf, (*inbound)(l))
	l.count.framesIn.Store(l.decoder.Frames())
	l.noteUnfinished(after.Buffered() - held)
	if c.state == free {
		l.count.unfinished.Add(int64(-after.Buffered()))
		l.decoder.Release(after)
		return gnet.None
	}
	l.keepUnfinished(c, after)
	if err != nil {
		return l.fail(c, err)
	}
	return gnet.None
}

// keepUnfinished remembers what the decoder needs to go on, and since when.
func (l *loop) keepUnfinished(c *conn, after *wsproto.Partial) {
	u := l.unfinished.of(c)
	if after == nil {
		l.unfinished.end(c)
		return
	}
	if u == nil {
		u = l.unfinished.begin(c, l.wheel.now)
		l.wheel.sooner(c, l.wheel.now+ticks(l.engine.tuned().MessageTimeout))
	} else if l.whole {
		u.since = l.wheel.now // an older message ended and another began
	}
	u.message = after
}

// inbound is the loop as the decoder's sink, for the current connection.
type inbound loop

// Message implements wsproto.Sink.
func (in *inbound) Message(op ws.OpCode, payload []byte) error {
	l := (*loop)(in)
	c := l.current
	l.whole = true
	switch c.state {
	case free:
		return errStop
	case open:
	default:
		return nil // we said goodbye; the peer had not heard yet
	}
	l.count.messagesIn.Add(1)
	l.engine.handler.Message(Session{l, c}, session.Opcode(op), payload)
	return nil
}

// Control implements wsproto.Sink: ping, pong and close.
func (in *inbound) Control(op ws.OpCode, payload []byte) error {
	l := (*loop)(in)
	c := l.current
	if op == ws.OpClose {
		return l.peerCloses(c, payload)
	}
	if c.state != open {
		return nil
	}
	if sec := uint16(l.wheel.now / uint32(time.Second/tick)); sec != c.controlsSec {
		c.controlsSec, c.controls = sec, 0
	}
	if c.controls++; int(c.controls) > l.engine.tuned().ControlRate {
		return &closeError{session.PolicyViolation, "too many control frames"}
	}
	if op == ws.OpPing {
		l.count.controlsOut.Add(1)
		l.replies = wsproto.AppendFrame(l.replies, ws.OpPong, false, payload)
		l.spillReplies(c)
	}
	return nil
}

var pingFrame = ws.MustCompileFrame(ws.NewPingFrame(nil))
