package gateway

import (
	"log/slog"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/wsproto"
)

// Gateway implements reactor.Handler and bridge.Local.
type Gateway struct {
	// Fixed before the engine starts.
	table  *registry.Table
	uplink Uplink
	engine *reactor.Engine
	events Events          // nil: nobody is told
	limits *bridge.Limiter // nil: none

	priority session.Priority // of sessions
	log      *slog.Logger
}

// New returns a gateway over table. SetEngine and SetUplink must follow before
// the engine starts.
func New(table *registry.Table, log *slog.Logger) *Gateway {
	return &Gateway{table: table, log: log}
}

// SetEngine gives the gateway the engine whose handler it is.
func (g *Gateway) SetEngine(e *reactor.Engine) { g.engine = e }

// SetUplink says where messages of sessions go.
func (g *Gateway) SetUplink(u Uplink) { g.uplink = u }

// Open implements reactor.Handler: without authentication a peer is who it
// says it is, or somebody new.
func (g *Gateway) Open(o *reactor.Opening) *wsproto.Refusal {
	name, given := o.Request.Query("id")
	if !given {
		name = randomPrincipal()
	} else if fault := checkPrincipal(name); fault != "" {
		return wsproto.NewRefusal(400, fault)
	}
	added, err := g.table.Add([]byte(name), o.ID)
	if err != nil {
		refusal := wsproto.NewRefusal(503, err.Error())
		refusal.RetryAfter = tableFullRetry
		return refusal
	}
	for _, old := range added.Displaced {
		_ = g.engine.CloseSession(old, session.Displaced) // gone is as good
	}
	if !g.connected(name, o.ID, added.Epoch) {
		g.table.Remove(added.Ref)
		refusal := wsproto.NewRefusal(503, "no room for the session's event")
		refusal.RetryAfter = eventsFullRetry
		return refusal
	}
	o.Ref, o.Priority = uint32(added.Ref), g.priority
	return nil
}

// Message implements reactor.Handler.
func (g *Gateway) Message(s reactor.Session, op session.Opcode, payload []byte) {
	if g.limits != nil && !g.limits.Allow(s.ID(), len(payload), time.Now()) {
		s.Close(session.PolicyViolation)
		return
	}
	g.uplink(g, s, op, payload)
}

// Close implements reactor.Handler.
func (g *Gateway) Close(s reactor.Session, reason session.CloseReason) {
	g.ended(s, reason)
	g.table.Remove(registry.Ref(s.Ref()))
}

// Uplink takes what a session sent. It runs on the event loops and must not
// block; the payload is borrowed.
type Uplink func(g *Gateway, s reactor.Session, op session.Opcode, payload []byte)

// Echo sends each message back: for conformance tests and benchmarks.
func Echo(_ *Gateway, s reactor.Session, op session.Opcode, payload []byte) { s.Reply(op, payload) }

// Discard drops each message.
func Discard(*Gateway, reactor.Session, session.Opcode, []byte) {}

// Kafka hands each message to up, with the priority that rules give it, or its
// session's. A message of high priority that cannot be accepted ends its
// session with 1013 rather than be lost in silence.
func Kafka(up *bridge.Uplink, rules bridge.PriorityRules) Uplink {
	return func(g *Gateway, s reactor.Session, op session.Opcode, payload []byte) {
		var name [MaxPrincipal]byte
		verdict := up.Accept(bridge.Message{
			Session:   s.ID(),
			Principal: g.table.AppendPrincipal(name[:0], registry.Ref(s.Ref())),
			Opcode:    op,
			Priority:  rules.Of(payload, s.Priority()),
			Payload:   payload,
		})
		if verdict == bridge.Refused {
			s.Close(session.UplinkRefused)
		}
	}
}
