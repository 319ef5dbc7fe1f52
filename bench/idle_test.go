package bench

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limpet-gateway/limpet/bench/probe"
	"github.com/limpet-gateway/limpet/bench/report"
)

// rollup is an independent reading of what idle measures.
func rollup(t *testing.T, pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "Rss: %f kB", &kb); n == 1 {
			return kb * 1024
		}
	}
	t.Fatal("no Rss in smaps_rollup")
	return 0
}

func TestIdleAgreesWithSmapsRollup(t *testing.T) {
	url, pid := start(t, "echo")
	o := quick(t, "idle", url)
	o.Conns, o.Duration, o.Exercise = 1000, 0, 2000
	before := rollup(t, pid)
	var mu sync.Mutex
	var full float64
	exercised := false // only the recorder's goroutine looks at it
	p := &listener{sample: func(s report.Sample) {
		if s.Phase == "exercise" {
			exercised = true
		}
		if s.Phase == "settle" && s.Open == o.Conns && !exercised {
			mu.Lock()
			full = rollup(t, pid)
			mu.Unlock()
		}
	}}
	target, result, err := run(t, o, p)
	require.NoError(t, err)
	require.True(t, result.Complete)
	mu.Lock()
	defer mu.Unlock()
	require.NotZero(t, full)
	require.Equal(t, pid, target.PID, "found from the listening socket")
	require.Len(t, target.Memory.Points, 4)
	last := target.Memory.Points[3]
	require.Equal(t, 1000, last.Conns)
	require.InEpsilon(t, full, float64(last.Memory.RSS), 0.02)
	require.InEpsilon(t, before, float64(target.Memory.Base.RSS), 0.1)
	independent := (full - float64(target.Memory.Base.RSS)) / 1000
	require.InEpsilon(t, independent, value(t, target, "rss_per_conn_simple"), 0.05)
	// The slope is another way to the same quantity; a small process's pools
	// leave them apart by some percent.
	require.InEpsilon(t, independent, value(t, target, "rss_per_conn"), 0.4)
	require.Less(t, target.Memory.RSS.Low, target.Memory.RSS.High)
	require.Zero(t, len(target.Errors))
	_, ok := target.Figure("rss_left_by_message")
	require.True(t, ok)
}

func TestIdleCountsOnlyOpenConnections(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "refuse") // takes 50
	o := quick(t, "idle", url)
	target, result, err := run(t, o, &listener{})
	require.ErrorIs(t, err, ErrFaults)
	require.False(t, result.Complete)
	require.NotEmpty(t, target.Faults)
	require.Contains(t, target.Faults[0].Message, "http_503")
	require.Contains(t, target.Faults[0].Advice, "limit")
	// 50 of the second step opened: partial results, and none of the refused
	// connections counts.
	require.Len(t, target.Memory.Points, 2)
	require.Equal(t, 50, target.Memory.Points[1].Conns)
	_, ok := target.Figure("rss_per_conn")
	require.False(t, ok, "two readings at one count give no slope")
	require.NotZero(t, target.Errors["http_503"])
}

func TestIdleNeedsTheProcess(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "echo")
	o := quick(t, "idle", url)
	_, other := start(t, "hang")
	o.PID, o.Duration = other, 0 // not the server: figures are of what was named
	target, _, err := run(t, o, &listener{})
	require.NoError(t, err)
	require.Equal(t, other, target.PID)
	o.PID = 1 << 22 // above what the kernel gives
	target, _, err = run(t, o, &listener{})
	require.ErrorIs(t, err, ErrFaults)
	require.Contains(t, target.Faults[0].Message, "there is no such process")
}

func TestFitOfAKnownLine(t *testing.T) {
	// y = 3x + noise with a slope and interval worked out by hand:
	// x̄ = 2.5, Sxx = 5, Sxy = 15.1, b = 3.02, Σr² = 0.018, s² = 0.009,
	// se = √(0.009/5) = 0.0424, t(0.975, 2) = 4.303.
	s := fit(series{x: []float64{1, 2, 3, 4}, y: []float64{3.0, 6.1, 8.9, 12.1}})
	require.InDelta(t, 3.01, s.PerConn, 0.011)
	require.InDelta(t, 0.2, (s.High-s.Low)/2, 0.05)
	require.Equal(t, 4, s.N)
	exact := fit(series{x: []float64{1, 2, 3}, y: []float64{5, 7, 9}}, series{x: []float64{1, 2, 3}, y: []float64{105, 107, 109}})
	require.InDelta(t, 2, exact.PerConn, 1e-12, "two groups share a slope, not an intercept")
	require.InDelta(t, 0, exact.High-exact.Low, 1e-6)
	require.Equal(t, 6, exact.N)
	require.Zero(t, fit(series{x: []float64{2, 2}, y: []float64{1, 9}}).PerConn)
	require.Zero(t, fit().PerConn)
}

func TestStudent(t *testing.T) {
	for df, want := range map[int]float64{1: 12.706, 5: 2.571, 10: 2.228, 11: 2.201, 20: 2.086, 30: 2.042, 120: 1.980} {
		require.InDelta(t, want, student975(df), 0.003, "df %d", df)
	}
}

func TestMoreClients(t *testing.T) {
	slow := report.Client{Bottleneck: true, Processes: 2}
	require.Equal(t, 4, moreClients(slow, 8))
	require.Equal(t, 0, moreClients(slow, 4), "a core stays with the server")
	require.Equal(t, 0, moreClients(report.Client{Processes: 2}, 64), "it was not in the way")
}

func TestSamplesAreThinnedOut(t *testing.T) {
	r := &recorder{keep: 1}
	r.notify = func(report.Sample) {}
	for i := range 3 * maxSamples {
		r.add(reading{}, reading{}, 0.25, float64(i))
	}
	require.Less(t, len(r.samples), maxSamples)
	require.Greater(t, len(r.samples), maxSamples/2-1)
	for i := 1; i < len(r.samples); i++ {
		require.Greater(t, r.samples[i].At, r.samples[i-1].At)
	}
	require.Greater(t, r.samples[len(r.samples)-1].At, float64(3*maxSamples-10), "the end is kept")
}

func TestShiftPutsRoundsBehindEachOther(t *testing.T) {
	got := shift([]report.Sample{{At: 1}, {At: 2}}, []report.Sample{{At: 5}})
	require.Equal(t, []report.Sample{{At: 6}, {At: 7}}, got)
}

// Of another user's process only RSS is known: PSS is left out, not 0.
func TestMemoryWithoutPSS(t *testing.T) {
	for _, pss := range []uint64{0, 5 << 20} {
		tr := &trial{round: 1, out: &report.Target{}}
		m := &report.Memory{}
		for i := 1; i <= minSteps; i++ {
			m.Points = append(m.Points, report.Point{Round: 1, Conns: i, Memory: probe.Memory{RSS: uint64(i) << 20, PSS: pss}})
		}
		tr.memoryFigures(m)
		_, known := tr.out.Figure("pss")
		require.Equal(t, pss > 0, known)
		require.Equal(t, pss == 0, len(tr.out.Client.Why) > 0)
	}
}
