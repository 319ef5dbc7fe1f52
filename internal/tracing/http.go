package tracing

import (
	"context"
	"net/http"
)

// HTTP begins the step of serving r, named by name, where r's headers or
// chance have it followed. The request that it returns carries the place for
// FromContext; end ends the step.
func (t *Tracer) HTTP(r *http.Request, name string) (_ *http.Request, end func()) {
	span := t.Start(t.Join(Service, r.Header.Get(Traceparent), r.Header.Get(Tracestate)), Server, name)
	if !span.On() {
		return r, func() {}
	}
	span.Text("http.request.method", r.Method)
	return r.WithContext(context.WithValue(r.Context(), contextKey{}, span.Trace)), span.End
}

type contextKey struct{}

// FromContext is the place that HTTP has put into a request's context; zero
// without one.
func FromContext(ctx context.Context) Trace {
	t, _ := ctx.Value(contextKey{}).(Trace)
	return t
}
