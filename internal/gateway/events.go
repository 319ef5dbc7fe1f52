package gateway

import (
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
)

// eventsFullRetry is the hint to a peer whose beginning cannot be written.
const eventsFullRetry = 5 * time.Second

// Events takes what happens to sessions. It is called on the loops and must
// not block. bridge.Uplink.Event is one.
type Events func(bridge.Event) bridge.Verdict

// SetEvents says who is told of sessions. Before the engine starts.
func (g *Gateway) SetEvents(e Events) { g.events = e }

// ReportUndelivered returns what a router calls for a push that reached nobody:
// one with an id is written as an event, if there is room for that.
func ReportUndelivered(events Events) func(*bridge.Push, bridge.Undelivered) {
	return func(p *bridge.Push, why bridge.Undelivered) {
		if p.ID == "" {
			return
		}
		to := p.To.String()
		e := bridge.Event{Kind: bridge.Undeliverable, Principal: to, At: time.Now(), Reason: string(why), PushID: p.ID, To: to}
		if p.To.Kind == bridge.ToUser {
			e.Principal = p.To.Name
		}
		events(e)
	}
}

// connected tells of a session that begins, and returns false when it cannot
// be told: then the session must not begin.
func (g *Gateway) connected(name string, o *reactor.Opening, epoch registry.Epoch) bool {
	if g.events == nil {
		return true
	}
	e := bridge.Event{Kind: bridge.Connected, Principal: name, Session: o.ID, Epoch: uint64(epoch), At: time.Now()}
	if client := o.Remote.Addr(); client.IsValid() {
		e.Remote = client.String()
	}
	return g.events(e) == bridge.Accepted
}

// ended tells of the session's end. It is called before the table forgets it.
func (g *Gateway) ended(s reactor.Session, reason session.CloseReason) {
	if g.events == nil {
		return
	}
	ref := registry.Ref(s.Ref())
	var name [session.MaxName]byte
	e := bridge.Event{
		Kind:      bridge.Disconnected,
		Principal: string(g.table.AppendPrincipal(name[:0], ref)),
		Session:   s.ID(),
		Epoch:     uint64(g.table.Session(ref).Epoch),
		At:        time.Now(),
		Reason:    reason.String(),
	}
	if reason == session.Displaced {
		e.Kind, e.Reason = bridge.Displaced, ""
	}
	g.events(e) // an end is always accepted while the uplink is open
}
