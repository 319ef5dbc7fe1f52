package probe

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRunTime(t *testing.T) {
	before, err := Host().RunTime(os.Getpid())
	require.NoError(t, err)
	x := 1.0
	for begun := time.Now(); time.Since(begun) < 50*time.Millisecond; {
		x = math.Sqrt(x + 1)
	}
	require.Positive(t, x)
	after, err := Host().RunTime(os.Getpid())
	require.NoError(t, err)
	require.Greater(t, after, before)
	_, err = Host().RunTime(math.MaxInt32)
	require.ErrorContains(t, err, "schedstat")
}
