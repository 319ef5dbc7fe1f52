package otlp

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/limpet-gateway/limpet/internal/logtest"
	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/limpet-gateway/limpet/internal/tracing/tracetest"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startExporter(t *testing.T, endpoint string) (*Exporter, *tracing.Tracer, *logtest.Log) {
	t.Helper()
	log := new(logtest.Log)
	e, err := Start(t.Context(), Config{Endpoint: endpoint, Node: "n1", Version: "1.2.3", Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nobody waits for a collector here
		_ = e.Close(ctx)
	})
	return e, tracing.New(tracing.Config{Provider: e.Provider(), Ratio: 1, PerSecond: 1 << 20}), log
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

func span(tracer *tracing.Tracer, name string) tracing.Span {
	return tracer.Start(tracer.Begin(), tracing.Server, name)
}

func TestSpansReachTheCollector(t *testing.T) {
	c := tracetest.Start(t)
	e, tracer, _ := startExporter(t, c.URL)
	outer := span(tracer, "outer")
	inner := tracer.Start(outer.Trace, tracing.Internal, "inner")
	inner.Text("limpet.word", "hello")
	inner.Fail("it did not work")
	inner.End()
	outer.End()
	parent, _ := outer.Headers()
	spans := c.Await(t, patience, strings.Split(parent, "-")[1], "outer", "inner")
	if spans["inner"].Parent != spans["outer"].ID || spans["outer"].Parent != "" {
		t.Errorf("%+v", spans)
	}
	if s := spans["inner"]; !s.Failed || !strings.Contains(s.Attributes["limpet.word"], "hello") || s.Kind != "SPAN_KIND_INTERNAL" {
		t.Errorf("%+v", s)
	}
	if r := spans["outer"].Resource; r["service.name"] != "limpet" || r["service.instance.id"] != "n1" || r["service.version"] != "1.2.3" {
		t.Errorf("resource %v", r)
	}
	await(t, "the spans are counted", func() bool { return e.Stats() == Stats{Exported: 2} })
}

func TestEnvironmentWins(t *testing.T) {
	c := tracetest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_SERVICE_NAME", "edge")
	if !Wanted("") {
		t.Fatal("the environment names a collector")
	}
	_, tracer, _ := startExporter(t, "")
	s := span(tracer, "one")
	s.End()
	parent, _ := s.Headers()
	if got := c.Await(t, patience, strings.Split(parent, "-")[1], "one")["one"].Resource["service.name"]; got != "edge" {
		t.Errorf("service.name %q", got)
	}
	t.Setenv("OTEL_SDK_DISABLED", "true")
	if Wanted("http://a") {
		t.Error("OTEL_SDK_DISABLED does not hold")
	}
}

func TestNobodyAskedForTraces(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	if Wanted("") {
		t.Error("traces without an endpoint")
	}
}

func TestEnvironmentThatIsRefused(t *testing.T) {
	const good = "http://127.0.0.1:4318"
	for _, c := range []struct{ name, value, want string }{
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "http/protobuf"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "want an http:// or https:// URL"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense", "want an http:// or https:// URL"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://user:secret@collector", "want an http:// or https:// URL"},
		{"OTEL_TRACES_EXPORTER", "console", "want otlp"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem", "no such file"},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY", "/nowhere/key.pem", "no such file"},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", good)
			t.Setenv(c.name, c.value)
			_, err := Start(t.Context(), Config{})
			if err == nil || !strings.Contains(err.Error(), c.name) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, want an error with %q", err, c.want)
			}
		})
	}
}

// An endpoint in the environment may be for the metrics of others.
func TestNoExporterOfTraces(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	if Wanted("") {
		t.Error("traces although the environment wants none")
	}
	if !Wanted("http://127.0.0.1:4318") {
		t.Error("the configuration does not win")
	}
}

func TestSamplerOfTheEnvironment(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	_, _, log := startExporter(t, "http://127.0.0.1:4318")
	if log.Count("OTEL_TRACES_SAMPLER is not heeded") != 1 {
		t.Error("nobody is told that it is not heeded")
	}
}

// While the collector is away the queue fills and what does not fit is dropped;
// callers never wait, it is said once, and spans go on when it is back.
func TestCollectorAway(t *testing.T) {
	c := tracetest.Start(t)
	c.Hang.Store(true)
	e, tracer, log := startExporter(t, c.URL)
	const many = 3 * queueLength
	for range many {
		span(tracer, "lost").End()
	}
	// Had a caller waited for room, more than a batch would have gone meanwhile.
	if s := e.Stats(); s.Waiting > queueLength || s.Dropped == 0 || s.Failed+s.Exported > batchLength {
		t.Errorf("%+v", s)
	}
	c.Hang.Store(false)
	c.Refuse.Store(true)
	await(t, "spans have failed", func() bool { return e.Stats().Failed > batchLength })
	if n := log.Count("does not take spans"); n != 1 {
		t.Errorf("it is said %d times, want once", n)
	}
	c.Refuse.Store(false)
	await(t, "spans are taken again", func() bool {
		span(tracer, "later").End()
		return e.Stats().Exported > 0 && log.Count("takes spans again") == 1
	})
}

// An end does not wait for a collector that hangs.
func TestCloseIsBounded(t *testing.T) {
	c := tracetest.Start(t)
	c.Hang.Store(true)
	e, tracer, _ := startExporter(t, c.URL)
	span(tracer, "lost").End()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := e.Close(ctx); err == nil {
		t.Error("an end that lost a span says nothing")
	}
}

// What it costs to follow one message: its span and that of Kafka's client,
// the way to a collector and the collector in this process included.
func BenchmarkFollowed(b *testing.B) {
	c := tracetest.Start(b)
	e, err := Start(b.Context(), Config{Endpoint: c.URL})
	if err != nil {
		b.Fatal(err)
	}
	tracer := tracing.New(tracing.Config{Provider: e.Provider(), Ratio: 1, PerSecond: 1 << 30})
	b.ReportAllocs()
	for b.Loop() {
		message := tracer.Start(tracer.Begin(), tracing.Server, "message")
		message.Text("limpet.session", "01a213066108798c0000000000000001")
		message.Int("limpet.payload_bytes", 64)
		publish := tracer.Start(message.Trace, tracing.Internal, "publish")
		publish.Headers()
		publish.End()
		message.End()
	}
	if err := e.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	s := e.Stats()
	b.ReportMetric(float64(s.Exported)/float64(s.Exported+s.Dropped), "exported/span")
}
