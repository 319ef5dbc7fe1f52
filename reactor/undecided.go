package reactor

import (
	"github.com/panjf2000/gnet/v2"

	"github.com/limpet-gateway/limpet/wsproto"
)

// A connection whose handler decides later waits as a place in the slab and
// its request beside it. It has no goroutine and no closure, and is bounded:
// MaxUndecided of them in the engine (one more for each loop, since loops
// count without a lock), each for DecisionTimeout, with a request head and
// earlyLimit bytes. The verdict names it by slot and generation, so one that
// comes late never meets the slot's next owner.

// waitForDecision keeps the request, the first end bytes of buf, until Decide.
func (l *loop) waitForDecision(c *conn, buf []byte, end int) {
	if len(buf)-end > earlyLimit {
		l.refuseRequest(c, tooEarly())
		return
	}
	l.keepRequest(c, buf)
	l.enter(c, undecided)
	l.engine.undecided.Add(1)
	l.wheel.schedule(c, l.wheel.now+ticks(l.engine.tuned().DecisionTimeout))
}

// early keeps what a client sends before it has an answer. RFC 6455 section
// 4.1 has it wait, some do not.
func (l *loop) early(c *conn, buf []byte) {
	u := l.unfinished.of(c)
	if len(u.request)+len(buf) > l.engine.cfg.Upgrader.RequestLimit()+earlyLimit {
		l.refuseRequest(c, tooEarly())
		return
	}
	u.request = append(u.request, buf...)
	l.count.unfinished.Add(int64(len(buf)))
}

// decided goes on with the request of c. From the mailbox, so what an event
// would return to gnet is done here.
func (l *loop) decided(c *conn, verdict any) {
	l.endUndecided(c)
	socket := l.slab.socket(c)
	buf := l.unfinished.of(c).request
	end, refusal := l.engine.cfg.Upgrader.RequestEnd(buf)
	if refusal != nil || end == 0 {
		panic("reactor: a request that was complete is not any more")
	}
	l.current = c
	action := l.answer(c, socket, buf, end, verdict)
	l.current = nil
	if len(l.replies) > 0 {
		l.writeReplies(c)
	}
	if action == gnet.Close && c.state != free {
		_ = l.events.Close(socket) // calls closed
	}
}

// undecidedTooLong answers a peer over whom nobody decided in time: closed
// rather than open.
func (l *loop) undecidedTooLong(c *conn) {
	l.count.undecided.Add(1)
	refusal := wsproto.NewRefusal(503, "authentication takes too long; come back later")
	refusal.RetryAfter = l.engine.tuned().RetryAfter
	l.refuseRequest(c, refusal)
}

func (l *loop) tooManyUndecided() *wsproto.Refusal {
	l.count.undecided.Add(1)
	refusal := wsproto.NewRefusal(503, "too many handshakes are waiting; come back later")
	refusal.RetryAfter = l.engine.tuned().RetryAfter
	return refusal
}

func tooEarly() *wsproto.Refusal {
	return wsproto.NewRefusal(400, "wait for the answer before you send frames")
}

// endUndecided takes c out of those that wait, if it is one of them.
func (l *loop) endUndecided(c *conn) {
	if c.state == undecided {
		l.enter(c, handshaking)
		l.engine.undecided.Add(-1)
	}
}
