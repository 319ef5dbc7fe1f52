package gateway

import (
	"sync"
	"sync/atomic"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/auth"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/wsproto"
)

// SetTracer has t follow handshakes, messages and deliveries. Before the engine
// starts; nobody is followed without it.
func (g *Gateway) SetTracer(t *tracing.Tracer) { g.tracer = t }

// handshakeSpans are the steps of one handshake that is followed. While the
// authenticator decides they travel with its request.
type handshakeSpans struct {
	upgrade, authenticate tracing.Span
	joined                tracing.Trace // the client's; zero where the trace began here
}

// followHandshake begins the steps of o, or takes up those that went to the
// authenticator; nil where nobody follows.
func (g *Gateway) followHandshake(o *reactor.Opening) *handshakeSpans {
	if decision, ok := o.Verdict.(*auth.Decision); ok {
		spans, _ := decision.Tag.(*handshakeSpans)
		return spans
	}
	parent := string(o.Request.Header(tracing.Traceparent))
	in := g.tracer.Join(tracing.Client, parent, string(o.Request.Header(tracing.Tracestate)))
	upgrade := g.tracer.Start(in, tracing.Server, "upgrade")
	if !upgrade.On() {
		return nil
	}
	upgrade.Text("limpet.session", o.ID.String())
	spans := &handshakeSpans{upgrade: upgrade}
	if in.Joined() {
		spans.joined = in
	}
	return spans
}

// settle ends the steps of o with its answer; one that is left to the
// authenticator has none yet.
func (g *Gateway) settle(spans *handshakeSpans, o *reactor.Opening, refused *wsproto.Refusal) {
	if o.Later && o.Verdict == nil {
		return
	}
	status := 101
	if refused != nil {
		status = refused.Status
		spans.upgrade.Fail(refused.Reason)
	} else if spans.joined.On() {
		g.traced.keep(o.ID, spans.joined)
	}
	spans.upgrade.Int("http.response.status_code", status)
	spans.upgrade.End()
}

// authenticating begins the step that the authenticator takes.
func (g *Gateway) authenticating(spans *handshakeSpans) {
	spans.authenticate = g.tracer.Start(spans.upgrade.Trace, tracing.Internal, "authenticate")
}

// Decided takes the authenticator's decision to the loop that waits for it: it
// is auth.Config's Decided. Any goroutine.
func (g *Gateway) Decided(id session.ID, d *auth.Decision) {
	if spans, ok := d.Tag.(*handshakeSpans); ok {
		if d.Denial != nil {
			spans.authenticate.Fail(d.Denial.Reason)
		}
		spans.authenticate.End()
	}
	_ = g.engine.Decide(id, d) // fails only when the loops are ending
}

// follow begins the step of taking in a message of s; it is zero, and costs a
// random number, for one that nobody follows.
func (g *Gateway) follow(s reactor.Session, op session.Opcode, size int) tracing.Span {
	if g.tracer == nil {
		return tracing.Span{}
	}
	in := g.tracer.More(tracing.Client, g.traced.take(s.ID()))
	if !in.On() {
		in = g.tracer.Begin()
	}
	span := g.tracer.Start(in, tracing.Server, "message")
	if span.On() {
		span.Text("limpet.session", s.ID().String())
		span.Text("limpet.opcode", op.String())
		span.Int("limpet.payload_bytes", size)
	}
	return span
}

// deliver begins the step of handing p to the loops, and returns what ends it.
func (g *Gateway) deliver(p *bridge.Push) func(reactor.Outcome) {
	span := g.tracer.Start(p.Trace, tracing.Internal, "deliver")
	return func(out reactor.Outcome) {
		span.Int("limpet.delivered", out.Delivered)
		span.Int("limpet.offline", out.Offline)
		span.Int("limpet.dropped", out.Dropped)
		if out.Delivered == 0 {
			span.Fail("no session has it")
		}
		span.End()
	}
}

// Bounds of what is kept for sessions whose client samples.
const (
	traceShards    = 64
	shardTraces    = 64 // sessions of a shard at a time; one more takes the place of another, which is followed as any other then
	tracedMessages = 64 // of each session; a trace of its whole life would never end
)

// sessionTraces knows the traces that sessions brought with their handshakes:
// the first messages of each belong there. It is for the few: a session whose
// shard has none pays one atomic load for a message.
type sessionTraces [traceShards]traceShard

type traceShard struct {
	kept atomic.Int32

	mu sync.Mutex // never held across I/O
	of map[session.ID]*sessionTrace
}

type sessionTrace struct {
	place tracing.Trace
	left  int // messages
}

func (t *sessionTraces) shard(id session.ID) *traceShard { return &t[id.Slot%traceShards] }

func (t *sessionTraces) keep(id session.ID, place tracing.Trace) {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.of) >= shardTraces {
		for old := range s.of { // any: sessions that say nothing would keep their place for life
			delete(s.of, old)
			break
		}
	}
	if s.of == nil {
		s.of = map[session.ID]*sessionTrace{}
	}
	s.of[id] = &sessionTrace{place, tracedMessages}
	s.kept.Store(int32(len(s.of)))
}

// take returns where the next message of a session belongs; zero for most.
func (t *sessionTraces) take(id session.ID) tracing.Trace {
	s := t.shard(id)
	if s.kept.Load() == 0 {
		return tracing.Trace{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.of[id]
	if of == nil {
		return tracing.Trace{}
	}
	if of.left--; of.left == 0 {
		s.forgetLocked(id)
	}
	return of.place
}

func (t *sessionTraces) forget(id session.ID) {
	s := t.shard(id)
	if s.kept.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(id)
}

func (s *traceShard) forgetLocked(id session.ID) {
	delete(s.of, id)
	s.kept.Store(int32(len(s.of)))
}
