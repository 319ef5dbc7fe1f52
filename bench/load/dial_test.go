package load

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

func TestRefusedDialsComeBackWhenTold(t *testing.T) {
	var n atomic.Int32
	answer := echo(t, nil)
	f := startFleet(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) <= 30 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		answer(w, r)
	}), 50, 1)
	r, err := f.Dial(t.Context(), DialSpec{Count: 50, InFlight: 50, Retry: true, Deadline: 20 * time.Second})
	require.NoError(t, err)
	require.Equal(t, 50, r.Opened)
	require.Zero(t, r.Failed)
	require.Equal(t, map[string]uint64{"http_503": 30}, r.Refusals)
	require.Greater(t, time.Duration(r.End-r.Start), time.Second, "Retry-After was a second")
	require.Greater(t, time.Duration(r.Latency.Max()), time.Second, "the wait is part of the latency")
	require.Less(t, time.Duration(r.Latency.ValueAtPercentile(20)), time.Second)
}

func TestRetriesEndAtTheDeadline(t *testing.T) {
	f := startFleet(t, serve(t, http.NotFound), 10, 1)
	r, err := f.Dial(t.Context(), DialSpec{Count: 10, Retry: true, Deadline: 500 * time.Millisecond})
	require.NoError(t, err)
	require.Zero(t, r.Opened)
	require.Equal(t, 10, r.Failed)
	require.True(t, r.Aborted)
	require.GreaterOrEqual(t, r.Refusals["http_404"], uint64(20), "each was tried again")
}

func TestDialsGiveUpOnAServerThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := netip.MustParseAddrPort(l.Addr().String())
	require.NoError(t, l.Close())
	f := startFleet(t, addr, 100_000, 1)
	begun := time.Now()
	r, err := f.Dial(t.Context(), DialSpec{Count: 10_000})
	require.NoError(t, err)
	require.Zero(t, r.Opened)
	require.True(t, r.Aborted)
	require.Less(t, r.Refusals[KindRefused], uint64(2000), "the rest is not tried")
	require.Less(t, time.Since(begun), 10*time.Second)
}

func TestDialAtARate(t *testing.T) {
	f := startFleet(t, serve(t, echo(t, nil)), 200, 2)
	r, err := f.Dial(t.Context(), DialSpec{Count: 200, Rate: 200})
	require.NoError(t, err)
	require.InDelta(t, 1.0, time.Duration(r.End-r.Start).Seconds(), 0.3)
}

func TestCancelledDialKeepsWhatOpened(t *testing.T) {
	f := startFleet(t, serve(t, echo(t, nil)), 1000, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	r, err := f.Dial(ctx, DialSpec{Count: 1000, Rate: 100})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.InDelta(t, 40, r.Opened, 20)
	require.True(t, r.Aborted)
	require.Equal(t, r.Opened, f.Stats().Open)
}

func TestDeafConnectionsHurtNobody(t *testing.T) {
	f := startFleet(t, serve(t, echo(t, nil)), 20, 1)
	_, err := f.Dial(t.Context(), DialSpec{Count: 20})
	require.NoError(t, err)
	r, err := f.Traffic(t.Context(), TrafficSpec{Rate: 500, Size: 16 << 10, Duration: time.Second, Grace: 3 * time.Second, DeafShare: 0.25})
	require.NoError(t, err)
	require.Zero(t, r.Unanswered)
	require.InDelta(t, 500, float64(r.Answered), 5, "those who read share the rate")
	require.Greater(t, r.DeafSent, uint64(100))
	require.Equal(t, r.Sent, r.Answered+r.DeafSent)
	require.EqualValues(t, 5, r.Deaf)
	// They read again afterwards.
	r, err = f.Traffic(t.Context(), TrafficSpec{Rate: 200, Size: 64, Duration: 500 * time.Millisecond, Grace: 5 * time.Second})
	require.NoError(t, err)
	require.Equal(t, 20, f.Stats().Open)
}

// A connection that ends before the messages begin is an error of theirs: what
// they show was measured over fewer connections than were asked for.
func TestLossesBeforeTheTrafficAreItsErrors(t *testing.T) {
	var n atomic.Int32
	lose := make(chan struct{})
	up := websocket.Upgrader{}
	stays := echo(t, nil)
	f := startFleet(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) > 3 {
			stays(w, r)
			return
		}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		<-lose
		c.Close()
	}), 10, 1)
	spec := TrafficSpec{Rate: 100, Size: 64, Duration: 200 * time.Millisecond, Grace: 3 * time.Second}
	_, err := f.Dial(t.Context(), DialSpec{Count: 10})
	require.NoError(t, err)
	close(lose)
	require.Eventually(t, func() bool { return f.Stats().Open == 7 }, 5*time.Second, time.Millisecond)
	r, err := f.Traffic(t.Context(), spec)
	require.NoError(t, err)
	require.EqualValues(t, 3, Total(r.Errors), "%v", r.Errors)
	r, err = f.Traffic(t.Context(), spec)
	require.NoError(t, err)
	require.Empty(t, r.Errors, "each loss is told once")
}

// A replaced connection that is refused is an error, also when the answer
// comes after the last message is due.
func TestRefusedReplacementsAreErrors(t *testing.T) {
	var n atomic.Int32
	answers := echo(t, nil)
	f := startFleet(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) > 10 {
			time.Sleep(300 * time.Millisecond)
			http.Error(w, "full", http.StatusServiceUnavailable)
			return
		}
		answers(w, r)
	}), 10, 1)
	_, err := f.Dial(t.Context(), DialSpec{Count: 10})
	require.NoError(t, err)
	r, err := f.Traffic(t.Context(), TrafficSpec{Rate: 100, Size: 64, Duration: 200 * time.Millisecond, Grace: 5 * time.Second, Churn: 20})
	require.NoError(t, err)
	require.Positive(t, r.Churned)
	require.Equal(t, r.Churned, r.Errors["http_503"])
}
