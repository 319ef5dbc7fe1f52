package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Kinds of spans: who waits for whom. See the OpenTelemetry specification,
// "SpanKind".
const (
	Server   = trace.SpanKindServer   // somebody outside asked
	Consumer = trace.SpanKindConsumer // a record is dealt with
	Internal = trace.SpanKindInternal
)

// Span is a step that is under way. Its Trace is the place below it. The zero
// Span is that of something which nobody follows: its methods do nothing.
// A Span belongs to one goroutine at a time.
type Span struct {
	Trace
	span       trace.Span
	principals bool
}

// Start begins a step within in; it is zero when nobody follows in.
func (t *Tracer) Start(in Trace, kind trace.SpanKind, name string) Span {
	if t == nil || in.ctx == nil {
		return Span{}
	}
	ctx, span := t.tracer.Start(in.ctx, name, trace.WithSpanKind(kind))
	return Span{Trace{ctx}, span, t.principals}
}

// Text notes a fact.
func (s Span) Text(key, value string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Int notes a number.
func (s Span) Int(key string, value int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(key, value))
	}
}

// Principal notes a principal, where spans may name them.
func (s Span) Principal(name string) {
	if s.principals {
		s.Text("limpet.principal", name)
	}
}

// Fail says that the step did not do what it was for.
func (s Span) Fail(why string) {
	if s.span != nil {
		s.span.SetStatus(codes.Error, why)
	}
}

// End ends the step. It never blocks.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
