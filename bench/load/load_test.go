package load

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// TestMain makes the test binary a client process when a Fleet starts it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == WorkerArg {
		if err := RunWorker(context.Background(), os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve starts a server whose WebSocket handler is given.
func serve(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return netip.MustParseAddrPort(strings.TrimPrefix(s.URL, "http://"))
}

// echo answers each message after the pause that pause returns for it.
func echo(t *testing.T, pause func(n int) time.Duration) http.HandlerFunc {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for n := 0; ; n++ {
			kind, data, err := c.ReadMessage()
			if err != nil {
				return
			}
			if pause != nil {
				time.Sleep(pause(n))
			}
			if c.WriteMessage(kind, data) != nil {
				return
			}
		}
	}
}

func startFleet(t *testing.T, addr netip.AddrPort, conns, workers int) *Fleet {
	t.Helper()
	f, err := StartFleet(t.Context(), FleetConfig{
		Command: []string{os.Args[0], WorkerArg}, Addr: addr, Host: addr.String(),
		Target: "/ws?id=test-{n}", Seed: 1, Conns: conns, Workers: workers,
	})
	require.NoError(t, err)
	t.Cleanup(f.Close)
	return f
}

func TestFleetEchoesOverSeveralProcesses(t *testing.T) {
	f := startFleet(t, serve(t, echo(t, nil)), 90, 2)
	require.Equal(t, 2, f.Size())
	d, err := f.Dial(t.Context(), DialSpec{Count: 90, Rate: 1000})
	require.NoError(t, err)
	require.Equal(t, 90, d.Opened)
	require.EqualValues(t, 90, d.Latency.TotalCount())
	require.Empty(t, d.Refusals)
	r, err := f.Traffic(t.Context(), TrafficSpec{
		Rate: 2000, Size: 64, Warmup: 100 * time.Millisecond, Duration: 500 * time.Millisecond, Grace: 2 * time.Second,
	})
	require.NoError(t, err)
	require.InDelta(t, 1200, float64(r.Sent), 10)
	require.Equal(t, r.Sent, r.Answered)
	require.Zero(t, r.Unanswered)
	require.Empty(t, r.Errors)
	require.InDelta(t, 1000, float64(r.Latency.TotalCount()), 10)
	require.Equal(t, 90, f.Stats().Open)
	n, err := f.Drop(t.Context())
	require.NoError(t, err)
	require.Equal(t, 90, n)
	require.Zero(t, f.Stats().Open)
}
