package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	mid, low, high := median(nil)
	require.Equal(t, []float64{0, 0, 0}, []float64{mid, low, high})
	mid, low, high = median([]float64{3, 1, 2})
	require.Equal(t, []float64{2, 1, 3}, []float64{mid, low, high})
	mid, low, high = median([]float64{16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	require.Equal(t, []float64{8.5, 5, 12}, []float64{mid, low, high})
}

// A server without an API cannot be watched, and the run says so.
func TestWatchedNeedsAnAPI(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "echo")
	o := quick(t, "watched", url)
	o.MsgRate, o.Duration = 200, time.Second
	target, _, err := run(t, o, &listener{})
	require.ErrorIs(t, err, ErrFaults)
	require.Contains(t, target.Faults[0].Message, "has no API")
}
