package bridge

import (
	"context"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// How long a push of high priority waits for room in its loop's mailbox, for
// all pushes that are routed together, and how often it asks.
const (
	defaultHandOff = time.Second
	handOffPause   = 2 * time.Millisecond
)

// handOff delivers p. A push of high priority to one principal or session that
// met a full mailbox is tried again for a while: the loop is behind, the
// session is well. One for many is not, since some of them have it already.
func (r *Router) handOff(ctx context.Context, p *Push, until time.Time) Outcome {
	out := r.deliver(p)
	if p.Priority != session.High || p.To.Kind > ToSession || p.Control != NoControl {
		return out
	}
	for out.Full > 0 && out.Delivered == 0 && time.Now().Before(until) {
		select {
		case <-time.After(handOffPause):
		case <-ctx.Done():
			return out
		}
		out = r.deliver(p)
	}
	return out
}
