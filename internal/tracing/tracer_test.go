package tracing

import (
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const (
	sampled   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

func tracer(ratio float64, perSecond int) *Tracer {
	return New(Config{Provider: noop.NewTracerProvider(), Ratio: ratio, PerSecond: perSecond})
}

func TestJoin(t *testing.T) {
	for _, c := range []struct {
		name, parent string
		ratio        float64
		want, joined bool
	}{
		{"sampled elsewhere", sampled, 0, true, true},
		{"sampled out elsewhere", unsampled, 1, false, false},
		{"nothing, never", "", 0, false, false},
		{"nothing, always", "", 1, true, false},
		// W3C Trace Context, section 3.2.3: a header that cannot be read is as none.
		{"garbage", "00-xyz", 1, true, false},
		{"garbage, never", "00-xyz", 0, false, false},
		{"all zeros", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", 0, false, false},
		{"version ff", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 0, false, false},
		{"upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01", 0, false, false},
	} {
		got := tracer(c.ratio, 10).Join(c.parent, "")
		if got.On() != c.want || got.Joined() != c.joined {
			t.Errorf("%s: followed %v, joined %v; want %v, %v", c.name, got.On(), got.Joined(), c.want, c.joined)
		}
	}
}

func TestHeadersTravel(t *testing.T) {
	in := tracer(0, 10).Join(sampled, "vendor=1")
	parent, state := in.Headers()
	if parent != sampled || state != "vendor=1" {
		t.Errorf("%q %q", parent, state)
	}
	if again := Continue(parent, state); trace.SpanContextFromContext(again.Context()).TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("%v", again.Context())
	}
	if _, state := tracer(0, 10).Join(sampled, "a="+strings.Repeat("x", maxTracestate)).Headers(); state != "" {
		t.Errorf("a tracestate of %d bytes is passed on", len(state))
	}
	if Continue(unsampled, "").On() || Continue("", "").On() {
		t.Error("what nobody follows is continued")
	}
	if p, s := (Trace{}).Headers(); p != "" || s != "" {
		t.Errorf("%q %q of nothing", p, s)
	}
}

// However many clients ask for it, no more than so many are followed.
func TestClientsCannotForceTraces(t *testing.T) {
	tr := tracer(1, 5)
	followed := uint64(0)
	for range 1000 {
		if tr.Join(sampled, "").On() {
			followed++
		}
	}
	s := tr.Stats()
	// The bucket holds 5, and fills by 5 a second while the test runs.
	if followed < 5 || followed > 900 || s.Followed != followed || s.Limited != 1000-followed {
		t.Errorf("%d followed, %+v", followed, s)
	}
}

func TestShareOfWhatBeginsHere(t *testing.T) {
	tr := tracer(0.1, 1<<20)
	n := 0
	for range 100_000 {
		if tr.Begin().On() {
			n++
		}
	}
	if n < 9_000 || n > 11_000 { // 10,000 ± 10 standard deviations
		t.Errorf("%d of 100,000 at a share of 0.1", n)
	}
}

// A reload changes the share and the limit of what comes after it.
func TestTune(t *testing.T) {
	tr := tracer(0, 1<<20)
	if tr.Begin().On() {
		t.Error("a share of 0 begins a trace")
	}
	tr.Tune(1, 1)
	followed := 0
	for range 1000 {
		if tr.Begin().On() {
			followed++
		}
	}
	// The bucket holds 1, and fills by 1 a second while the test runs.
	if followed == 0 || followed > 500 {
		t.Errorf("%d of 1,000 are followed at a share of 1 and one a second", followed)
	}
	(*Tracer)(nil).Tune(1, 1) // nobody follows: nothing to change
}

// What nobody follows costs no allocation, with a tracer and without.
func TestNotFollowedAllocatesNothing(t *testing.T) {
	for name, tr := range map[string]*Tracer{"off": nil, "sampled out": tracer(0, 10)} {
		if n := testing.AllocsPerRun(1000, func() {
			in := tr.Join("", "")
			in = tr.More(in)
			if !in.On() {
				in = tr.Begin()
			}
			span := tr.Start(in, Server, "message")
			span.Text("key", "value")
			span.Int("key", 1)
			span.Principal("dev1")
			span.End()
			in.Headers()
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestRequestCarriesItsTrace(t *testing.T) {
	tr := tracer(0, 10)
	r := httptest.NewRequest("POST", "/v1/push", nil)
	r.Header.Set(Traceparent, sampled)
	followed, end := tr.HTTP(r, "push")
	defer end()
	if !FromContext(followed.Context()).On() {
		t.Error("a request that is followed does not carry its trace")
	}
	plain, end := tr.HTTP(httptest.NewRequest("POST", "/v1/push", nil), "push")
	defer end()
	if FromContext(plain.Context()).On() {
		t.Error("one that is not does")
	}
}

func BenchmarkNotFollowed(b *testing.B) {
	for _, c := range []struct {
		name string
		tr   *Tracer
	}{{"off", nil}, {"sampled-out", tracer(0, 10)}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.tr.Start(c.tr.Begin(), Server, "message").End()
			}
		})
	}
}
