package load

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A server that stalls once for 600 ms in 3 s of messages. Measured from the
// intended time, a message due x into the stall waits 600 ms − x, so with D =
// 3 s the latency at share q of the worst messages is 600 ms − q × D: 570 ms
// at the 99th percentile, 300 ms at the 90th. Measured from the actual send
// only the few messages under way would show it.
func TestStallShowsInPercentiles(t *testing.T) {
	const stall, duration = 600 * time.Millisecond, 3 * time.Second
	var stallFrom, stallUntil atomic.Int64
	addr := serve(t, echo(t, func(int) time.Duration {
		if now := time.Now().UnixNano(); now >= stallFrom.Load() && now < stallUntil.Load() {
			return time.Duration(stallUntil.Load() - now) // every connection waits for the same moment
		}
		return 0
	}))
	f := startFleet(t, addr, 20, 1)
	_, err := f.Dial(t.Context(), DialSpec{Count: 20})
	require.NoError(t, err)
	from := time.Now().Add(time.Second)
	stallFrom.Store(from.UnixNano())
	stallUntil.Store(from.Add(stall).UnixNano())
	r, err := f.Traffic(t.Context(), TrafficSpec{Rate: 1000, Size: 64, Duration: duration, Grace: 5 * time.Second})
	require.NoError(t, err)
	require.Zero(t, r.Unanswered)
	require.InDelta(t, 3000, float64(r.Sent), 5)
	at := func(p float64) float64 { return float64(r.Latency.ValueAtPercentile(p)) / 1e6 }
	require.InDelta(t, 600, at(100), 80, "the first message of the stall waited for all of it")
	require.InDelta(t, 570, at(99), 80)
	require.InDelta(t, 300, at(90), 80)
	require.Less(t, at(50), 100.0, "half of the messages never met the stall")
}

// A message that is never answered counts with the time it has waited, so a
// server that stops answering does not look fast.
func TestUnansweredMessagesAreInTheLatency(t *testing.T) {
	addr := serve(t, echo(t, func(n int) time.Duration {
		if n >= 10 {
			return time.Hour
		}
		return 0
	}))
	f := startFleet(t, addr, 10, 1)
	_, err := f.Dial(t.Context(), DialSpec{Count: 10})
	require.NoError(t, err)
	r, err := f.Traffic(t.Context(), TrafficSpec{Rate: 200, Size: 64, Duration: time.Second, Grace: 200 * time.Millisecond})
	require.NoError(t, err)
	// 20 messages of each connection were due, 10 were answered.
	require.InDelta(t, 100, float64(r.Answered), 2)
	require.InDelta(t, 100, float64(r.Unanswered), 2)
	require.EqualValues(t, 200, r.Latency.TotalCount())
	// The one due at 0.5 s had waited 0.7 s at the end.
	require.InDelta(t, 700, float64(r.Latency.Max())/1e6, 100)
}
