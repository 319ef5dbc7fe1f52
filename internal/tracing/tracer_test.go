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
		got := tracer(c.ratio, 10).Join(Service, c.parent, "")
		if got.On() != c.want || got.Joined() != c.joined {
			t.Errorf("%s: followed %v, joined %v; want %v, %v", c.name, got.On(), got.Joined(), c.want, c.joined)
		}
	}
}

func TestHeadersTravel(t *testing.T) {
	in := tracer(0, 10).Join(Service, sampled, "vendor=1")
	parent, state := in.Headers()
	if parent != sampled || state != "vendor=1" {
		t.Errorf("%q %q", parent, state)
	}
	if again := Continue(parent, state); trace.SpanContextFromContext(again.Context()).TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("%v", again.Context())
	}
	if _, state := tracer(0, 10).Join(Service, sampled, "a="+strings.Repeat("x", maxTracestate)).Headers(); state != "" {
		t.Errorf("a tracestate of %d bytes is passed on", len(state))
	}
	if Continue(unsampled, "").On() || Continue("", "").On() {
		t.Error("what nobody follows is continued")
	}
	if p, s := (Trace{}).Headers(); p != "" || s != "" {
		t.Errorf("%q %q of nothing", p, s)
	}
}

// However many ask for it, each gets its part of the limit and no more, and what
// the node samples itself has what is left.
func TestNobodyElseUsesUpTheLimit(t *testing.T) {
	const limit = 1000
	for _, c := range []struct {
		name string
		ask  []By // one after the other, each as often as it likes
		want [byAll]uint64
	}{
		{"the node alone", []By{Node}, [byAll]uint64{Node: limit}},
		{"clients before it", []By{Client, Node}, [byAll]uint64{Client: limit / 4, Node: limit * 3 / 4}},
		{"services before it", []By{Service, Node}, [byAll]uint64{Service: limit / 2, Node: limit / 2}},
		{"clients, services", []By{Client, Service, Node}, [byAll]uint64{Client: limit / 4, Service: limit / 4, Node: limit / 2}},
		{"services, clients", []By{Service, Client, Node}, [byAll]uint64{Service: limit / 2, Node: limit / 2}},
		{"the node before them", []By{Node, Service, Client}, [byAll]uint64{Node: limit}},
	} {
		b := newBudget(limit)
		for by, bucket := range b.limits { // does not fill meanwhile
			bucket.SetLimit(0)
			if got, want := bucket.Burst(), limit>>by; got != want {
				t.Errorf("%v has a bucket of %d, want %d", By(by), got, want)
			}
		}
		for _, by := range c.ask {
			for range 2 * limit {
				b.allow(by)
			}
		}
		s := b.stats()
		if s.Followed != c.want {
			t.Errorf("%s: %v followed, want %v", c.name, s.Followed, c.want)
		}
		for _, by := range c.ask {
			if s.Followed[by]+s.Limited[by] != 2*limit {
				t.Errorf("%s: %v are followed and %v limited by %v, of %d", c.name, s.Followed[by], s.Limited[by], by, 2*limit)
			}
		}
	}
}

// A bucket fills at its part of the limit, also of the smallest one.
func TestPartsOfTheLimit(t *testing.T) {
	b := newBudget(1)
	for _, perSecond := range []int{1, 7, 100} {
		b.set(perSecond)
		for by, part := range map[By]float64{Node: 1, Service: 0.5, Client: 0.25} {
			if got := b.limits[by]; float64(got.Limit()) != part*float64(perSecond) || got.Burst() < 1 {
				t.Errorf("of %d a second: %v has %v and a bucket of %d", perSecond, by, got.Limit(), got.Burst())
			}
		}
	}
}

// A client that asks for more than clients have is no worse off for it than one
// that does not ask: a share of what it sends begins a trace here.
func TestAboveThePartAsWithoutATrace(t *testing.T) {
	for ratio, want := range map[float64]bool{0: false, 1: true} {
		tr := tracer(ratio, 1<<20)
		tr.budget.limits[Client].SetLimit(0)
		tr.budget.limits[Client].SetBurst(1)
		if in := tr.Join(Client, sampled, ""); !in.Joined() {
			t.Error("the first is not joined")
		}
		if in := tr.Join(Client, sampled, ""); in.On() != want || in.Joined() {
			t.Errorf("with a share of %v: followed %v, joined %v", ratio, in.On(), in.Joined())
		}
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
			in := tr.Join(Client, "", "")
			in = tr.More(Client, in)
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
