package gateway

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
)

// Gateway implements reactor.Handler and bridge.Local.
type Gateway struct {
	// Fixed before the engine starts.
	table  *registry.Table
	uplink Uplink
	engine *reactor.Engine
	events Events // nil: nobody is told
	limits *bridge.Limiter
	tracer *tracing.Tracer // nil: nobody is followed
	log    *slog.Logger
	door   door // its fields say by themselves

	// Atomic.
	rules    atomic.Pointer[Rules] // never nil; replaced by SetRules
	overRate [session.Low + 1]atomic.Uint64

	traced sessionTraces // guards itself
}

// New returns a gateway over table. SetEngine and SetUplink must follow before
// the engine starts.
func New(table *registry.Table, log *slog.Logger) *Gateway {
	g := &Gateway{table: table, log: log, limits: bridge.NewLimiter(bridge.RateLimits{})}
	g.rules.Store(&Rules{})
	return g
}

// SetEngine gives the gateway the engine whose handler it is.
func (g *Gateway) SetEngine(e *reactor.Engine) { g.engine = e }

// SetUplink says where messages of sessions go.
func (g *Gateway) SetUplink(u Uplink) { g.uplink = u }

// Message implements reactor.Handler.
func (g *Gateway) Message(s reactor.Session, op session.Opcode, payload []byte) {
	if !g.limits.Allow(s.ID(), len(payload), time.Now()) {
		g.beyondRate(s, payload)
		return
	}
	span := g.follow(s, op, len(payload))
	g.uplink(g, s, op, payload, span)
	span.End()
}

// Close implements reactor.Handler.
func (g *Gateway) Close(s reactor.Session, reason session.CloseReason) {
	g.ended(s, reason)
	g.table.Remove(registry.Ref(s.Ref()))
	g.traced.forget(s.ID())
}

// Uplink takes what a session sent, as a part of span. It runs on the event
// loops and must not block; the payload is borrowed.
type Uplink func(g *Gateway, s reactor.Session, op session.Opcode, payload []byte, span tracing.Span)

// Echo sends each message back: for conformance tests and benchmarks.
func Echo(_ *Gateway, s reactor.Session, op session.Opcode, payload []byte, _ tracing.Span) {
	s.Reply(op, payload)
}

// Discard drops each message.
func Discard(*Gateway, reactor.Session, session.Opcode, []byte, tracing.Span) {}

// Kafka hands each message to up, with the priority that the rules give it, or
// its session's. A message of high priority that cannot be accepted ends its
// session with 1013 rather than be lost in silence.
func Kafka(up *bridge.Uplink) Uplink {
	return func(g *Gateway, s reactor.Session, op session.Opcode, payload []byte, span tracing.Span) {
		var name [session.MaxName]byte
		verdict := up.Accept(bridge.Message{
			Session:   s.ID(),
			Principal: g.table.AppendPrincipal(name[:0], registry.Ref(s.Ref())),
			Opcode:    op,
			Priority:  g.rules.Load().Content.Of(payload, s.Priority()),
			Payload:   payload,
			Trace:     span.Trace,
		})
		if verdict != bridge.Accepted {
			span.Fail(verdict.String())
		}
		if verdict == bridge.Refused {
			s.Close(session.UplinkRefused)
		}
	}
}
