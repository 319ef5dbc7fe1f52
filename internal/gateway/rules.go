package gateway

import (
	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/reactor"
)

// Rules say what becomes of messages. They are not changed once they are in
// force. The zero value gives every message the priority high, and closes the
// session that sends too many.
type Rules struct {
	Priority session.Priority     // of sessions that begin, where nothing else gives them one
	Content  bridge.PriorityRules // of messages, by what is in them

	// DropOverRate drops what a session sends beyond its rates, where the
	// priority is low or medium. Otherwise, and always for high, the session
	// is closed with 1008: what is high is never lost in silence.
	DropOverRate bool
}

// SetRules replaces the rules. Any goroutine, also while the engine runs.
func (g *Gateway) SetRules(r Rules) { g.rules.Store(&r) }

// SetLimits replaces what sessions may send that have no rates of their own.
// Any goroutine, also while the engine runs.
func (g *Gateway) SetLimits(l bridge.RateLimits) { g.limits.SetLimits(l) }

// OverRate is how many messages were dropped since their session had sent more
// than its rates allow, by priority.
func (g *Gateway) OverRate() (low, medium uint64) {
	return g.overRate[session.Low].Load(), g.overRate[session.Medium].Load()
}

// beyondRate deals with a message beyond its session's rates. On its loop.
func (g *Gateway) beyondRate(s reactor.Session, payload []byte) {
	if r := g.rules.Load(); r.DropOverRate {
		if p := r.Content.Of(payload, s.Priority()); p != session.High {
			g.overRate[p].Add(1)
			return
		}
	}
	s.Close(session.PolicyViolation)
}
