package reactor

import (
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/limpet-gateway/limpet/internal/session"
)

// counters are written by one loop and read at a scrape. An uncontended
// atomic add on a line that the loop owns costs about as much as a plain one;
// the pads keep that line from what other goroutines write.
type counters struct {
	_            [64]byte
	accepted     atomic.Uint64
	refusedLimit atomic.Uint64
	refusedDrain atomic.Uint64
	refusedHTTP  atomic.Uint64
	refusedGate  atomic.Uint64
	refusedLoad  atomic.Uint64 // to save memory
	refusedProxy atomic.Uint64 // a load balancer's header was missing or malformed
	slowRequests atomic.Uint64 // no complete upgrade request in time
	leftEarly    atomic.Uint64 // the peer went before it had an answer
	opened       atomic.Uint64
	messagesIn   atomic.Uint64
	framesIn     atomic.Uint64 // copied from the decoder
	bytesIn      atomic.Uint64
	messagesOut  atomic.Uint64
	controlsOut  atomic.Uint64
	bytesOut     atomic.Uint64
	writes       atomic.Uint64
	pings        atomic.Uint64
	offline      atomic.Uint64
	droppedSlow  [session.Low + 1]atomic.Uint64 // by session.Priority
	droppedLoad  atomic.Uint64
	socketErrors atomic.Uint64
	shed         atomic.Uint64        // sessions closed at the paced rate of an overload
	evicted      atomic.Uint64        // connections closed because all held too much and they most
	undecided    atomic.Uint64        // refused because too many, or too long
	closed       [32]atomic.Uint64    // by session.CloseReason
	conns        atomic.Int64         // now, of any state
	states       [states]atomic.Int64 // now, by state; that of free says nothing
	sessions     atomic.Int64         // now
	unfinished   atomic.Int64         // bytes of unfinished input now
	unsent       atomic.Int64         // bytes that gnet has for sockets now, as of the last write or tick
	lag          atomic.Int64         // nanoseconds that the last tick has waited
	outbox       atomic.Int64         // bytes waiting in the outbox now
	state        atomic.Int64         // bytes of the loop's own structures, at the last tick
	_            [64]byte
}

// enter moves c to state s. On the loop.
func (l *loop) enter(c *conn, s state) {
	l.count.states[c.state].Add(-1)
	l.count.states[s].Add(1)
	c.state = s
}

// stateBytes is what the loop's own structures occupy: they grow with the
// sessions and with what is unfinished, unsent or unread. On the loop.
func (l *loop) stateBytes() int {
	return len(l.slab.chunks)*int(chunkSize*(unsafe.Sizeof(conn{})+unsafe.Sizeof([1]any{}))) +
		l.slab.expiries*int(unsafe.Sizeof([chunkSize]uint32{})) +
		l.slab.sources*int(unsafe.Sizeof([chunkSize]uint64{})) +
		cap(l.outbox.nodes)*int(unsafe.Sizeof(waiting{})) + cap(l.outbox.dirty)*4 +
		cap(l.unfinished.items)*int(unsafe.Sizeof(unfinished{})) +
		cap(l.crowd.unsent)*int(unsafe.Sizeof(holder{})) +
		cap(l.mails)*int(unsafe.Sizeof(mail{})) +
		cap(l.replies) + cap(l.gather) +
		int(unsafe.Sizeof(*l)) + readBuffer
}

// Stats is what an engine has done and holds. Counts only grow; fields that
// say "now" are gauges.
type Stats struct {
	Loops        int // event loops that have seen a connection
	Conns        int // now, of any state
	Sessions     int // now
	Accepted     uint64
	RefusedLimit uint64 // answered 503 because a limit was reached
	RefusedDrain uint64 // answered 503 because the node drains
	RefusedGate  uint64 // answered as the gate said
	RefusedLoad  uint64 // answered 503 because of Pressure
	RefusedProxy uint64 // a load balancer's header was due, and was missing or malformed
	RefusedHTTP  uint64 // not a valid upgrade request, or refused by the handler
	RefusedLate  uint64 // of RefusedHTTP: too many were undecided, or one for too long
	SlowRequests uint64 // ended without an answer: no complete upgrade request in time
	LeftEarly    uint64 // ended without an answer: the peer went
	Opened       uint64
	MessagesIn   uint64
	FramesIn     uint64 // control frames and fragments included
	BytesIn      uint64 // on sockets, frames and requests included
	MessagesOut  uint64
	ControlsOut  uint64 // pings, pongs and close frames
	BytesOut     uint64 // on sockets
	Writes       uint64 // writes that carried them
	Pings        uint64
	Offline      uint64 // pushes to sessions that had gone
	DroppedLoad  uint64 // low-priority messages that Pressure.DropLow dropped
	SocketErrors uint64 // sessions ended by a socket error, a reset for instance
	Shed         uint64 // sessions closed because of Pressure.Shed
	Evicted      uint64 // connections closed because all together held too many unsent or unfinished bytes, and they most
	MailboxFull  uint64 // pushes for which a loop's mailbox had no room

	// Connections now, by state. They sum up to Conns.
	// Undecided ones wait for Engine.Decide.
	Handshaking, Undecided, Open, Closing, Lingering int

	MailboxItems    int // now
	MailboxBytes    int // now
	OutboxBytes     int // now
	UnsentBytes     int // now: what gnet holds for sockets that do not take it
	UnfinishedBytes int // now
	StateBytes      int // now: slabs, queues and buffers of the loops

	// Lag is how long work has waited for the loop that is furthest behind.
	Lag time.Duration

	// DroppedSlow is pushes to sessions that did not read, by their priority.
	// Those above low end the session, and are lost with it.
	DroppedSlow [session.Low + 1]uint64

	Closed map[session.CloseReason]uint64
}

// Stats sums what the loops have counted. Any goroutine.
func (e *Engine) Stats() Stats {
	s := Stats{Closed: map[session.CloseReason]uint64{}}
	for _, l := range e.allLoops() {
		n := &l.count
		s.Loops++
		s.Conns += int(n.conns.Load())
		s.Sessions += int(n.sessions.Load())
		s.Accepted += n.accepted.Load()
		s.RefusedLimit += n.refusedLimit.Load()
		s.RefusedDrain += n.refusedDrain.Load()
		s.RefusedGate += n.refusedGate.Load()
		s.RefusedLoad += n.refusedLoad.Load()
		s.RefusedProxy += n.refusedProxy.Load()
		s.RefusedHTTP += n.refusedHTTP.Load()
		s.RefusedLate += n.undecided.Load()
		s.SlowRequests += n.slowRequests.Load()
		s.LeftEarly += n.leftEarly.Load()
		s.Opened += n.opened.Load()
		s.MessagesIn += n.messagesIn.Load()
		s.FramesIn += n.framesIn.Load()
		s.BytesIn += n.bytesIn.Load()
		s.MessagesOut += n.messagesOut.Load()
		s.ControlsOut += n.controlsOut.Load()
		s.BytesOut += n.bytesOut.Load()
		s.Writes += n.writes.Load()
		s.Pings += n.pings.Load()
		s.Offline += n.offline.Load()
		for p := range n.droppedSlow {
			s.DroppedSlow[p] += n.droppedSlow[p].Load()
		}
		s.DroppedLoad += n.droppedLoad.Load()
		s.SocketErrors += n.socketErrors.Load()
		s.Handshaking += int(n.states[handshaking].Load())
		s.Undecided += int(n.states[undecided].Load())
		s.Open += int(n.states[open].Load())
		s.Closing += int(n.states[closing].Load())
		s.Lingering += int(n.states[lingering].Load())
		s.OutboxBytes += int(n.outbox.Load())
		s.Shed += n.shed.Load()
		s.Evicted += n.evicted.Load()
		s.UnsentBytes += int(n.unsent.Load())
		s.UnfinishedBytes += int(n.unfinished.Load())
		s.Lag = max(s.Lag, l.lag())
		s.StateBytes += int(n.state.Load())
		items, bytes, full := l.mailbox.depth()
		s.MailboxItems += items
		s.MailboxBytes += bytes
		s.MailboxFull += full
		for _, r := range session.Reasons() {
			if v := n.closed[r].Load(); v > 0 {
				s.Closed[r] += v
			}
		}
	}
	return s
}

// lag is how long work has waited for the loop: the last tick, or one that
// still waits. Any goroutine.
func (l *loop) lag() time.Duration {
	lag := l.count.lag.Load()
	if posted := l.postedAt.Load(); l.tickPosted.Load() {
		lag = max(lag, int64(time.Since(l.engine.born))-posted)
	}
	return time.Duration(lag)
}

// Sessions is the number of open sessions now. Any goroutine.
func (e *Engine) Sessions() int {
	n := 0
	for _, l := range e.allLoops() {
		n += int(l.count.sessions.Load())
	}
	return n
}
