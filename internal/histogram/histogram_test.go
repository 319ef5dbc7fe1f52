package histogram

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// some picks bounds out of a snapshot.
func some(s Snapshot, bounds ...float64) map[float64]uint64 {
	got := map[float64]uint64{}
	for _, b := range bounds {
		got[b] = s.Within[b]
	}
	return got
}

func TestDurations(t *testing.T) {
	var h Durations
	for _, d := range []time.Duration{-time.Second, 0, time.Millisecond, 2 * time.Millisecond, time.Second, time.Hour} {
		h.Observe(d)
	}
	s := h.Snapshot()
	if want := (time.Hour + time.Second + 3*time.Millisecond).Seconds(); s.Count != 6 || s.Sum != want {
		t.Errorf("%d in %v, want 6 in %v", s.Count, s.Sum, want)
	}
	want := map[float64]uint64{0.001: 3, 0.0025: 4, 0.5: 4, 1: 5, 30: 5}
	if diff := cmp.Diff(want, some(s, 0.001, 0.0025, 0.5, 1, 30)); diff != "" {
		t.Errorf("within (-want +got):\n%s", diff)
	}
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Second) }); n != 0 {
		t.Errorf("observing allocates %v times", n)
	}
}

func TestSizes(t *testing.T) {
	var h Sizes
	for _, n := range []int{0, 1, 2, 3, 64, 65, 5000} {
		h.Observe(n)
	}
	s := h.Snapshot()
	if s.Count != 7 || s.Sum != 5135 {
		t.Errorf("%d with a sum of %v", s.Count, s.Sum)
	}
	want := map[float64]uint64{1: 2, 2: 3, 4: 4, 64: 5, 128: 6, 4096: 6}
	if diff := cmp.Diff(want, some(s, 1, 2, 4, 64, 128, 4096)); diff != "" {
		t.Errorf("within (-want +got):\n%s", diff)
	}
}

func TestQuantile(t *testing.T) {
	var h Durations
	if q := h.Snapshot().Quantile(0.5); q != 0 {
		t.Errorf("of nothing %v", q)
	}
	for range 99 {
		h.Observe(2 * time.Millisecond)
	}
	h.Observe(time.Hour)
	s := h.Snapshot()
	if got := s.Quantile(0.99); got != 0.0025 {
		t.Errorf("99 of 100 within %v s, want 0.0025", got)
	}
	if got := s.Quantile(1); !math.IsInf(got, 1) {
		t.Errorf("all within %v s, want no bound", got)
	}
}

func TestJSON(t *testing.T) {
	got, err := json.Marshal(Snapshot{Count: 3, Sum: 1.5, Within: map[float64]uint64{0.001: 2, 64: 3}})
	if want := `{"count":3,"sum":1.5,"within":{"0.001":2,"64":3}}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}
