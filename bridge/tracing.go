package bridge

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kotel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/limpet-gateway/limpet/internal/tracing"
)

// A record that is followed carries its place in the trace twice: in
// Record.Context, where the hook below finds it, and in the headers of W3C Trace
// Context, where the next reader does. Records that nobody follows have
// neither.

// publishSpans is kotel's hook for those records alone that somebody follows:
// for all others kotel would make a span too, only to have it sampled out, and
// a header that says so.
type publishSpans struct{ kotel *kotel.Tracer }

func newPublishSpans(t *tracing.Tracer, clientID string) publishSpans {
	options := []kotel.TracerOpt{
		kotel.TracerProvider(t.Provider()), kotel.TracerPropagator(propagation.TraceContext{}), kotel.ClientID(clientID),
	}
	if !t.Principals() { // the key is one
		options = append(options, kotel.KeyFormatter(func(*kgo.Record) (string, error) { return "", errKeyHidden }))
	}
	return publishSpans{kotel.NewTracer(options...)}
}

var errKeyHidden = errors.New("keys are principals")

func followed(r *kgo.Record) bool {
	return r.Context != nil && trace.SpanContextFromContext(r.Context).IsSampled()
}

// OnProduceRecordBuffered implements kgo.HookProduceRecordBuffered.
func (h publishSpans) OnProduceRecordBuffered(r *kgo.Record) {
	if followed(r) {
		h.kotel.OnProduceRecordBuffered(r)
	}
}

// OnProduceRecordUnbuffered implements kgo.HookProduceRecordUnbuffered. It
// comes before the record's promise.
func (h publishSpans) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	if followed(r) {
		h.kotel.OnProduceRecordUnbuffered(r, err)
	}
}

// within is the record's context: the item, and where it is followed the place
// in the trace, from which the client's hook makes headers.
func (it *item) within(in tracing.Trace) context.Context {
	if !in.On() {
		return it
	}
	return context.WithValue(in.Context(), itemKey{}, it)
}

// appendTrace adds the headers that carry in to who reads the record.
func appendTrace(to []kgo.RecordHeader, in tracing.Trace) []kgo.RecordHeader {
	parent, state := in.Headers()
	if parent != "" {
		to = append(to, kgo.RecordHeader{Key: tracing.Traceparent, Value: []byte(parent)})
	}
	if state != "" {
		to = append(to, kgo.RecordHeader{Key: tracing.Tracestate, Value: []byte(state)})
	}
	return to
}

// traceHeaders returns what appendTrace wrote, or a service.
func traceHeaders(r *kgo.Record) (parent, state string) {
	return string(header(r.Headers, tracing.Traceparent)), string(header(r.Headers, tracing.Tracestate))
}

// follow begins the step of routing each of pushes that is followed, and moves
// these pushes into it. It returns nil when none is.
func (r *Router) follow(pushes []*Push) []tracing.Span {
	if r.cfg.Tracer == nil {
		return nil
	}
	var spans []tracing.Span
	for i, p := range pushes {
		if !p.Trace.On() {
			continue
		}
		if spans == nil {
			spans = make([]tracing.Span, len(pushes))
		}
		s := r.cfg.Tracer.Start(p.Trace, tracing.Consumer, "route")
		s.Text("limpet.to", p.To.Kind.String())
		if p.To.Kind == ToUser {
			s.Principal(p.To.Name)
		}
		p.Trace, spans[i] = s.Trace, s
	}
	return spans
}

// settled ends the step of routing a push. s is the zero span for one that
// nobody follows.
func settled(s tracing.Span, result *Result) {
	if !s.On() {
		return
	}
	s.Int("limpet.delivered", result.Delivered)
	s.Int("limpet.forwarded", result.Forwarded)
	if result.Spread {
		s.Text("limpet.spread", "all nodes")
	}
	if result.Duplicate {
		s.Text("limpet.duplicate", "delivered before")
	}
	if result.Why != "" {
		s.Fail(string(result.Why))
	}
	s.End()
}
