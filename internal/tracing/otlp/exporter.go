package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Limits of the way to the collector.
const (
	queueLength   = 4096            // spans that wait; more are dropped and counted
	batchLength   = 512             // spans of one request
	batchInterval = 2 * time.Second // that a span waits for others
	sendTimeout   = 5 * time.Second // for the collector's answer to one request
	retryTime     = 15 * time.Second
)

// Config says where spans go and what they tell of this process.
type Config struct {
	// Endpoint is the collector's URL; without a path /v1/traces is added. Empty
	// means what the environment says: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or
	// OTEL_EXPORTER_OTLP_ENDPOINT.
	Endpoint string
	Node     string // service.instance.id
	Version  string // service.version
	Log      *slog.Logger
}

// Exporter takes spans to a collector. Its methods may be called from any
// goroutine.
type Exporter struct {
	provider *sdktrace.TracerProvider
	sender   sdktrace.SpanExporter
	log      *slog.Logger

	waiting                   atomic.Int64
	exported, failed, dropped atomic.Uint64
	away                      atomic.Bool
}

// Stats counts spans. Counts only grow, but for Waiting.
type Stats struct {
	Exported uint64 // the collector has them
	Failed   uint64 // it did not take them
	Dropped  uint64 // the queue was full
	Waiting  int64  // now
}

// Start returns an exporter. It does not connect yet, and a collector that is
// away is no error; what the environment says wrongly is. Other settings are those of the OpenTelemetry SDK's
// environment variables: OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES and so on.
func Start(ctx context.Context, c Config) (*Exporter, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := checkEnvironment(c.Endpoint, c.Log); err != nil {
		return nil, err
	}
	options := []otlptracehttp.Option{
		otlptracehttp.WithTimeout(sendTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: time.Second, MaxInterval: sendTimeout, MaxElapsedTime: retryTime,
		}),
	}
	if c.Endpoint != "" {
		endpoint, err := withPath(c.Endpoint)
		if err != nil {
			return nil, err
		}
		options = append(options, otlptracehttp.WithEndpointURL(endpoint))
	}
	sender, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	// What the environment says comes last: it wins.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "limpet"),
		attribute.String("service.version", c.Version),
		attribute.String("service.instance.id", c.Node),
	), resource.WithFromEnv())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err), sender.Shutdown(ctx))
	}
	e := &Exporter{sender: sender, log: c.Log}
	batches := sdktrace.NewBatchSpanProcessor(watched{sender, e},
		sdktrace.WithMaxQueueSize(queueLength), sdktrace.WithMaxExportBatchSize(batchLength),
		sdktrace.WithBatchTimeout(batchInterval), sdktrace.WithExportTimeout(retryTime+sendTimeout))
	e.provider = sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // tracing.Tracer has decided before
		sdktrace.WithResource(about),
		sdktrace.WithSpanProcessor(bounded{batches, e}))
	return e, nil
}

// withPath adds the path of traces to a URL that has none, as the SDK does for
// OTEL_EXPORTER_OTLP_ENDPOINT.
func withPath(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", fmt.Errorf("traces: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u.String(), nil
}

// Provider makes the spans.
func (e *Exporter) Provider() trace.TracerProvider { return e.provider }

// Stats may be called from any goroutine.
func (e *Exporter) Stats() Stats {
	return Stats{e.exported.Load(), e.failed.Load(), e.dropped.Load(), e.waiting.Load()}
}

// Close sends what waits, until ctx ends: then the request that is under way is
// cut off, and what still waits is lost. Spans that end later go nowhere.
func (e *Exporter) Close(ctx context.Context) error {
	before := e.failed.Load()
	// The SDK's own shutdown leaves its goroutines behind when its context ends.
	stop := context.AfterFunc(ctx, func() { _ = e.sender.Shutdown(context.WithoutCancel(ctx)) })
	defer stop()
	err := e.provider.Shutdown(context.WithoutCancel(ctx))
	if lost := e.failed.Load() - before; lost > 0 {
		err = errors.Join(fmt.Errorf("traces: %d spans were not sent", lost), err)
	}
	return err
}

// bounded keeps the number of spans that wait below the queue's length, so
// that the queue itself never drops one uncounted.
type bounded struct {
	sdktrace.SpanProcessor
	e *Exporter
}

func (b bounded) OnEnd(s sdktrace.ReadOnlySpan) {
	if b.e.waiting.Add(1) > queueLength {
		b.e.waiting.Add(-1)
		b.e.dropped.Add(1)
		return
	}
	b.SpanProcessor.OnEnd(s)
}

// watched counts what became of batches. It returns no error: the SDK would
// report each to a global handler.
type watched struct {
	sdktrace.SpanExporter
	e *Exporter
}

func (w watched) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := w.SpanExporter.ExportSpans(ctx, spans)
	e := w.e
	e.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.failed.Add(uint64(len(spans)))
		if !e.away.Swap(true) {
			e.log.Warn("the collector of traces does not take spans; they are lost until it does", "err", err)
		}
		return nil
	}
	e.exported.Add(uint64(len(spans)))
	if e.away.Swap(false) {
		e.log.Info("the collector of traces takes spans again")
	}
	return nil
}
