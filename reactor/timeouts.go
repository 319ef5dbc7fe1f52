package reactor

import (
	"math"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// ticks converts d to wheel ticks, at least one.
func ticks(d time.Duration) uint32 { return uint32(max(1, (d+tick-1)/tick)) }

// ticksSinceStart is the present.
func (e *Engine) ticksSinceStart() uint32 { return uint32(time.Since(e.born) / tick) }

// tickOf is the first tick at or after t; 0 for the zero time. What lies
// beyond the 13 years that ticks can be compared over is as good as never.
func (e *Engine) tickOf(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	after := t.Sub(e.born) // at most the largest Duration, so nothing may be added to it
	if after > math.MaxInt32*tick {
		return 0
	}
	return uint32(max((after+tick-1)/tick, 1))
}

// expireAt makes a session end at a tick, or never for 0.
func (l *loop) expireAt(c *conn, due uint32) {
	l.slab.setExpiry(c, due)
	if due != 0 {
		l.wheel.sooner(c, due)
	}
}

// frozen is the ticks of a gap from which on the loop was not merely busy.
func (l *loop) frozen() uint32 {
	return ticks(max(time.Second, min(5*time.Second, l.engine.tuned().HeartbeatGrace/2)))
}

// advance moves the wheel on by some ticks, mostly one. When the process was
// frozen, by a pause of its virtual machine for instance, what peers have sent
// meanwhile is still to be read, and no ping went out. So the gap counts for no
// timeout: else a node that wakes would end all of its sessions at once. It counts
// for the end of a token.
func (l *loop) advance(behind uint32) {
	if behind >= l.frozen() {
		l.forgive(behind - 1)
		behind = 1
	}
	for ; behind > 0; behind-- {
		l.wheel.advance(l.look)
	}
}

// forgive moves all that timeouts count from by the ticks of a gap.
func (l *loop) forgive(gap uint32) {
	l.wheel.skip(gap)
	for i := range l.slab.size() {
		c := l.slab.at(i)
		if c.state == free {
			continue
		}
		c.seen += gap
		if due := l.slab.expiry(c); due != 0 && c.state == open {
			l.wheel.sooner(c, due)
		}
	}
	for i := range l.unfinished.items {
		l.unfinished.items[i].since += gap // of those in use; the others are set anew
	}
}

// look is what the wheel calls for a connection that is due.
func (l *loop) look(c *conn) {
	now, cfg := l.wheel.now, l.engine.tuned()
	switch c.state {
	case handshaking:
		l.cut(c, session.HandshakeTimeout)
		return
	case undecided:
		l.undecidedTooLong(c)
		return
	case closing, lingering:
		l.cut(c, c.reason)
		return
	}
	expiry := l.slab.expiry(c)
	if expiry != 0 && int32(now-expiry) >= 0 {
		l.closeWith(c, session.Unauthorized, "")
		return
	}
	u := l.unfinished.of(c)
	if u != nil && int32(now-u.since-ticks(cfg.MessageTimeout)) >= 0 {
		l.closeWith(c, session.MessageTimeout, "")
		return
	}
	heartbeat, grace := ticks(cfg.Heartbeat), ticks(cfg.HeartbeatGrace)
	switch idle := now - c.seen; {
	case c.is(flagPinged) && idle >= heartbeat+grace:
		l.closeWith(c, session.HeartbeatMissed, "")
		return
	case !c.is(flagPinged) && idle >= heartbeat:
		c.set(flagPinged)
		l.count.pings.Add(1)
		l.count.controlsOut.Add(1)
		if !l.write(c, pingFrame) {
			return
		}
	}
	next := c.seen + heartbeat
	if c.is(flagPinged) {
		next += grace
	}
	if expiry != 0 && int32(next-expiry) > 0 {
		next = expiry
	}
	l.wheel.schedule(c, next)
	if u != nil {
		l.wheel.sooner(c, u.since+ticks(cfg.MessageTimeout))
	}
}
