package tracing

import (
	"context"
	"math"
	"math/rand/v2"
	"sync/atomic"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// DefaultPerSecond is the number of traces followed per second at most.
const DefaultPerSecond = 100

// scope names what makes the spans.
const scope = "github.com/limpet-gateway/limpet"

// Config describes a tracer.
type Config struct {
	Provider   trace.TracerProvider // what spans are made by; it must sample all of them
	Ratio      float64              // share, 0 to 1, of what comes without a trace that begins one
	PerSecond  int                  // traces followed per second, of which each By has a part; 0 is DefaultPerSecond
	Principals bool                 // names principals in spans
}

// Tracer decides what is followed. A nil Tracer follows nothing. Its methods
// may be called from any goroutine, event loops included.
type Tracer struct {
	// Fixed at construction.
	provider   trace.TracerProvider
	tracer     trace.Tracer
	principals bool

	ratio  atomic.Uint64 // bits of a float64
	budget *budget
}

// New returns a tracer over c.Provider.
func New(c Config) *Tracer {
	if c.PerSecond == 0 {
		c.PerSecond = DefaultPerSecond
	}
	t := &Tracer{
		provider:   c.Provider,
		tracer:     c.Provider.Tracer(scope),
		principals: c.Principals,
		budget:     newBudget(c.PerSecond),
	}
	t.ratio.Store(math.Float64bits(c.Ratio))
	return t
}

// Tune changes Config.Ratio and Config.PerSecond of what comes from now on.
// Any goroutine.
func (t *Tracer) Tune(ratio float64, perSecond int) {
	if t == nil {
		return
	}
	t.ratio.Store(math.Float64bits(ratio))
	t.budget.set(perSecond)
}

// Provider is what the spans of libraries on the way are made by.
func (t *Tracer) Provider() trace.TracerProvider { return t.provider }

// Principals reports whether spans may name principals.
func (t *Tracer) Principals() bool { return t != nil && t.principals }

// Stats may be called from any goroutine.
func (t *Tracer) Stats() Stats { return t.budget.stats() }

// Join decides over something that came from by with these W3C headers, either
// of which may be empty: the trace that they name is joined if it is sampled,
// and without one that can be read a share begins a new trace. So it does where
// too many are sampled, which loses a sender nothing that others have. The
// result is where its first span belongs.
func (t *Tracer) Join(by By, traceparent, tracestate string) Trace {
	if t == nil {
		return Trace{}
	}
	parent, valid := parse(traceparent, tracestate)
	switch {
	case !valid:
		return t.Begin()
	case !parent.On():
		return Trace{} // its owner samples it out
	}
	if t.budget.allow(by) {
		return parent
	}
	return t.Begin()
}

// Begin has a share of the calls begin a trace.
func (t *Tracer) Begin() Trace {
	if t == nil || rand.Float64() >= math.Float64frombits(t.ratio.Load()) || !t.budget.allow(Node) {
		return Trace{}
	}
	return Trace{context.Background()}
}

// More decides whether to follow something further within in, which came from
// by.
func (t *Tracer) More(by By, in Trace) Trace {
	if t == nil || !in.On() || !t.budget.allow(by) {
		return Trace{}
	}
	return in
}

// Continue returns the place that these headers name, which another node of
// the cluster has decided to follow.
func Continue(traceparent, tracestate string) Trace {
	t, _ := parse(traceparent, tracestate)
	return t
}

// Trace is a place in a trace: spans that are started in it come below it. The
// zero Trace is in none. It may be copied and kept.
type Trace struct {
	ctx context.Context // nil: followed by nobody
}

// On reports whether somebody follows.
func (t Trace) On() bool { return t.ctx != nil }

// Joined reports whether somebody else began the trace and no step of it was
// started here yet.
func (t Trace) Joined() bool { return t.ctx != nil && trace.SpanContextFromContext(t.ctx).IsRemote() }

// Context carries the place to libraries. It is never nil, has no deadline and
// is never cancelled.
func (t Trace) Context() context.Context {
	if t.ctx == nil {
		return context.Background()
	}
	return t.ctx
}

// Names of the headers of W3C Trace Context, in HTTP and in Kafka records.
const (
	Traceparent = "traceparent"
	Tracestate  = "tracestate"
)

// Headers returns the values that carry the place to others; tracestate is
// often empty, and both are for a zero Trace.
func (t Trace) Headers() (traceparent, tracestate string) {
	if t.ctx == nil {
		return "", ""
	}
	var h headers
	propagation.TraceContext{}.Inject(t.ctx, &h)
	return h.parent, h.state
}

// maxTracestate is the longest tracestate that is passed on: as much as W3C
// Trace Context (section 3.3.1.5) asks for at least. It comes from clients and is kept
// with their sessions and in records.
const maxTracestate = 512

// parse reads the headers. valid says that they name a trace, whether it is
// sampled or not; the result is zero where it is not.
func parse(traceparent, tracestate string) (_ Trace, valid bool) {
	if traceparent == "" {
		return Trace{}, false
	}
	if len(tracestate) > maxTracestate {
		tracestate = ""
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), &headers{traceparent, tracestate})
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return Trace{}, false
	}
	if !span.IsSampled() {
		return Trace{}, true
	}
	return Trace{ctx}, true
}

// headers implements propagation.TextMapCarrier.
type headers struct{ parent, state string }

func (h *headers) Get(key string) string {
	switch key {
	case Traceparent:
		return h.parent
	case Tracestate:
		return h.state
	}
	return ""
}

func (h *headers) Set(key, value string) {
	switch key {
	case Traceparent:
		h.parent = value
	case Tracestate:
		h.state = value
	}
}

func (h *headers) Keys() []string { return []string{Traceparent, Tracestate} }
