package histogram

import (
	"encoding/json"
	"math"
	"strconv"
	"sync/atomic"
	"time"
)

// durationBounds are the upper ends of the buckets of Durations in seconds:
// from what a broker nearby needs to what a client's time-outs allow.
var durationBounds = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// sizeBounds are those of Sizes.
var sizeBounds = [...]float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096}

// Durations counts durations. The zero value is ready; any goroutine.
type Durations struct {
	buckets [len(durationBounds) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

// Observe counts d; less than nothing, which a clock that was set back
// yields, counts as nothing.
func (h *Durations) Observe(d time.Duration) {
	d = max(d, 0)
	n := 0
	for n < len(durationBounds) && d.Seconds() > durationBounds[n] {
		n++
	}
	h.buckets[n].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot returns what was counted, in seconds.
func (h *Durations) Snapshot() Snapshot {
	return snapshot(h.buckets[:], durationBounds[:], time.Duration(h.sum.Load()).Seconds())
}

// Sizes counts whole numbers. The zero value is ready; any goroutine.
type Sizes struct {
	buckets [len(sizeBounds) + 1]atomic.Uint64
	sum     atomic.Uint64
}

// Observe counts n, which is not negative.
func (h *Sizes) Observe(n int) {
	at := 0
	for at < len(sizeBounds) && float64(n) > sizeBounds[at] {
		at++
	}
	h.buckets[at].Add(1)
	h.sum.Add(uint64(n))
}

// Snapshot returns what was counted.
func (h *Sizes) Snapshot() Snapshot {
	return snapshot(h.buckets[:], sizeBounds[:], float64(h.sum.Load()))
}

// Snapshot is a histogram at one moment.
type Snapshot struct {
	Count  uint64
	Sum    float64            // of all that was observed
	Within map[float64]uint64 // how many were at most so large
}

// MarshalJSON has the bounds as texts: JSON has no other keys.
func (s Snapshot) MarshalJSON() ([]byte, error) {
	within := make(map[string]uint64, len(s.Within))
	for bound, n := range s.Within {
		within[strconv.FormatFloat(bound, 'g', -1, 64)] = n
	}
	return json.Marshal(struct {
		Count  uint64            `json:"count"`
		Sum    float64           `json:"sum"`
		Within map[string]uint64 `json:"within"`
	}{s.Count, s.Sum, within})
}

func snapshot(buckets []atomic.Uint64, bounds []float64, sum float64) Snapshot {
	s := Snapshot{Sum: sum, Within: make(map[float64]uint64, len(bounds))}
	for i := range buckets {
		s.Count += buckets[i].Load()
		if i < len(bounds) {
			s.Within[bounds[i]] = s.Count
		}
	}
	return s
}

// Quantile returns the upper end of the bucket that holds the share q, from 0
// to 1, of what was observed: at most so large was that share. It is 0 where
// nothing was observed, and infinite where the last bucket ends below.
func (s Snapshot) Quantile(q float64) float64 {
	if s.Count == 0 {
		return 0
	}
	best := math.Inf(1)
	for bound, n := range s.Within {
		if float64(n) >= q*float64(s.Count) {
			best = min(best, bound)
		}
	}
	return best
}
