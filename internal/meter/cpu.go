package meter

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// CPUMeter measures the processor time of the process. One goroutine uses it.
type CPUMeter struct {
	// Cores is what the process may use. GOMAXPROCS may be more: see
	// spareProcessor in cmd. Zero means GOMAXPROCS.
	Cores int

	at   time.Time
	used time.Duration
}

// Share returns the processor time since the call before, as a share of what
// the process may use: 1 is all of Cores. The first call returns 0.
func (m *CPUMeter) Share(now time.Time) float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil { // fails for a bad argument alone
		return 0
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	cores := m.Cores
	if cores == 0 {
		cores = runtime.GOMAXPROCS(0)
	}
	before := *m
	m.at, m.used = now, used
	wall := now.Sub(before.at)
	if before.at.IsZero() || wall <= 0 {
		return 0
	}
	return min(float64(used-before.used)/float64(wall)/float64(cores), 1)
}
