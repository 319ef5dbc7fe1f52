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
