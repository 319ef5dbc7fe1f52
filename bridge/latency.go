package bridge

import (
	"sync/atomic"
	"time"
)

// latencyBounds are the upper ends of the buckets of a Latency: from what a
// broker nearby needs to what a client's time-outs allow.
var latencyBounds = [...]time.Duration{
	1 * time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second,
}

// latency counts durations in buckets. Observing takes no lock and allocates
// nothing. Any goroutine.
type latency struct {
	buckets [len(latencyBounds) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

func (l *latency) observe(d time.Duration) {
	d = max(d, 0) // the clock of records can be set back
	n := 0
	for n < len(latencyBounds) && d > latencyBounds[n] {
		n++
	}
	l.buckets[n].Add(1)
	l.sum.Add(int64(d))
}

// Latency is a snapshot of counted durations.
type Latency struct {
	Count  uint64
	Sum    time.Duration
	Within map[time.Duration]uint64 // how many took at most that long
}

func (l *latency) snapshot() Latency {
	s := Latency{Within: make(map[time.Duration]uint64, len(latencyBounds)), Sum: time.Duration(l.sum.Load())}
	for i := range l.buckets {
		s.Count += l.buckets[i].Load()
		if i < len(latencyBounds) {
			s.Within[latencyBounds[i]] = s.Count
		}
	}
	return s
}
