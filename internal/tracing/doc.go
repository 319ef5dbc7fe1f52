// Package tracing follows sampled messages through a node, as spans of
// OpenTelemetry. It decides which ones, and is what the packages on the way
// call; internal/tracing/otlp sends the spans to a collector.
//
// # What is followed
//
// A trace that somebody else began and samples (W3C Trace Context: the headers
// traceparent and tracestate of a handshake, of an API request or of a Kafka
// record) is joined; of what comes without one a share begins a trace here.
// Both are bounded by a number per second, because anybody can set the sampled
// flag, and of all that is sent. At most a quarter is followed for clients, at
// most half for them and services together (By); what is above is counted, and
// from then on as good as what came without a trace. The other half is the
// node's own, so that nobody can blind it.
//
// # Cost
//
// A nil *Tracer follows nothing: every method of it, and of the zero Trace and
// Span, returns at once. With a Tracer, a message that is not followed costs a
// random number and no allocation; one that is followed is a few spans, which
// are made where it passes, event loops included, and handed to a queue that
// never blocks.
//
// # What is not in a span
//
// Payloads, tokens and headers are never. Principals are only where
// Config.Principals says so: traces are kept longer, and read by more people,
// than logs.
package tracing
