package target

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"
)

func TestMetricsOfPrometheus(t *testing.T) {
	s := metricsServer(t, `# HELP go_goroutines n
go_goroutines 27
go_memstats_heap_alloc_bytes 1.0454e+08
go_memstats_heap_inuse_bytes 1.1e+08
go_memstats_stack_inuse_bytes 1e+06
go_gc_duration_seconds{quantile="0.5"} 0.0001
go_gc_duration_seconds{quantile="1"} 0.000953
go_gc_duration_seconds_sum 0.004
go_gc_duration_seconds_count 20
process_cpu_seconds_total 8.96
something else entirely
`)
	m, err := s.ReadMetrics(t.Context())
	require.NoError(t, err)
	require.Equal(t, &Metrics{
		Source: s.Metrics, Goroutines: 27, HeapAlloc: 104540000, HeapInUse: 110000000, Stack: 1000000, GCs: 20,
		GCPauseMax: 953 * time.Microsecond, GCPauseSum: 4 * time.Millisecond, CPU: 8960 * time.Millisecond,
	}, m)
}

func TestMetricsOfExpvar(t *testing.T) {
	s := metricsServer(t, `{"goroutines": 30003, "memstats": {"HeapAlloc": 5, "HeapInuse": 6, "StackInuse": 7, "NumGC": 2,
		"PauseTotalNs": 300, "PauseNs": [100, 200, 0]}}`)
	m, err := s.ReadMetrics(t.Context())
	require.NoError(t, err)
	require.Equal(t, &Metrics{
		Source: s.Metrics, Goroutines: 30003, HeapAlloc: 5, HeapInUse: 6, Stack: 7, GCs: 2, GCPauseMax: 200, GCPauseSum: 300,
	}, m)
}

func TestMetricsThatAreNotThere(t *testing.T) {
	m, err := (&Server{}).ReadMetrics(t.Context())
	require.NoError(t, err)
	require.Nil(t, m, "a server that offers none")
	_, err = metricsServer(t, "{broken").ReadMetrics(t.Context())
	require.Error(t, err)
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	_, err = (&Server{Metrics: none.URL}).ReadMetrics(t.Context())
	require.ErrorContains(t, err, "404")
	for _, page := range []string{"", "<html>a page</html>", `{"name": "of something else"}`, "other_total 5"} {
		_, err = metricsServer(t, page).ReadMetrics(t.Context())
		require.ErrorContains(t, err, "nothing known", "%q", page)
	}
	require.ErrorIs(t, (&Server{}).Collect(t.Context()), ErrNoCollect)
}

func metricsServer(t *testing.T, body string) *Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
	t.Cleanup(s.Close)
	return &Server{Metrics: s.URL}
}

func TestAttach(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	s, err := Attach(t.Context(), "ws://"+l.Addr().String()+"/ws?id=x-{n}", 0, "")
	require.NoError(t, err)
	require.Equal(t, os.Getpid(), s.PID)
	require.Equal(t, "/ws?id=x-{n}", s.Path)
	require.Equal(t, l.Addr().String(), s.Addr.String())
	require.NoError(t, s.Failure())
	s.Stop() // not ours: nothing happens
	require.NoError(t, s.Failure())
	s, err = Attach(t.Context(), "ws://"+l.Addr().String()+"/a%20b/{n}/%0d%0aX", 0, "")
	require.NoError(t, err)
	require.Equal(t, "/a%20b/{n}/%0D%0AX", s.Path, "as it goes over the wire")
	s, err = Attach(t.Context(), "ws://"+l.Addr().String()+"/", os.Getpid(), "")
	require.NoError(t, err)
	require.Empty(t, s.Doubt)
	other := exec.Command("sleep", "60")
	require.NoError(t, other.Start())
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait() // killed
	}()
	s, err = Attach(t.Context(), "ws://"+l.Addr().String()+"/", other.Process.Pid, "")
	require.NoError(t, err, "a server may be behind a proxy")
	require.Contains(t, s.Doubt, "does not listen on")
	for raw, want := range map[string]string{
		"ws://": "want ws://HOST:PORT/PATH", "ws://a:b@h/": "want ws://", "ws://127.0.0.1:99999/": "want a port", "ws://127.0.0.1:x/": "invalid port",
		"http://127.0.0.1:1/": "want ws://", "wss://127.0.0.1:1/": "TLS is not measured", "ws://127.0.0.1:9/": "nothing listens there", "::": "--target",
	} {
		_, err := Attach(t.Context(), raw, 0, "")
		require.ErrorContains(t, err, want, raw)
	}
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	_, err := Spawner{}.Start(t.Context(), "nginx")
	require.ErrorContains(t, err, "want one of limpet, limpet-watched, nethttp")
	_, err = Spawner{BaselineDir: t.TempDir()}.Start(t.Context(), "gin")
	require.ErrorContains(t, err, "make baselines")
	dying := filepath.Join(t.TempDir(), "limpet")
	require.NoError(t, os.WriteFile(dying, []byte("#!/bin/sh\necho no descriptors left >&2\nexit 3\n"), 0o755))
	_, err = Spawner{Limpet: dying}.Start(t.Context(), "limpet")
	require.ErrorContains(t, err, "limpet did not start: exit status 3; its last words:\nno descriptors left")
}

// A baseline is a program that takes -listen: here a script that checks what
// it is told and serves nothing, so that Start gives up when told to.
func TestStartEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "echo"), []byte("#!/bin/sh\necho told \"$@\"\nexec sleep 60\n"), 0o755))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := Spawner{BaselineDir: dir}.Start(ctx, "echo-1g")
	require.ErrorContains(t, err, "is not ready")
	require.Regexp(t, `told -listen 127\.0\.0\.1:\d+ -goroutines 1`, err.Error())
}

func TestCommandBroadcasts(t *testing.T) {
	got := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer conn.Close()
		h, err := ws.ReadHeader(conn)
		if err != nil {
			return
		}
		payload := make([]byte, h.Length)
		if _, err := conn.Read(payload); err != nil {
			return
		}
		ws.Cipher(payload, h.Mask, 0)
		got <- string(payload)
	}))
	defer s.Close()
	target := &Server{Host: strings.TrimPrefix(s.URL, "http://"), Path: "/ws"}
	addr, err := net.ResolveTCPAddr("tcp", target.Host)
	require.NoError(t, err)
	target.Addr = addr.AddrPort()
	c, err := target.OpenCommand(t.Context(), time.Minute)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Publish(t.Context(), []byte("to all")))
	require.Equal(t, "!broadcast to all", <-got)
}

func TestFreePortsAreBelowTheEphemeralRange(t *testing.T) {
	ports, err := freePorts(2)
	require.NoError(t, err)
	require.NotEqual(t, ports[0], ports[1])
	for _, p := range ports {
		require.GreaterOrEqual(t, int(p.Port()), firstPort)
		require.Less(t, int(p.Port()), lastPort)
		require.True(t, p.Addr().IsLoopback())
	}
}

// A publisher that gets its own broadcasts does not run ahead of them: servers
// with a queue for each connection would end it.
func TestCommandAwaitsItsCopies(t *testing.T) {
	back := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer conn.Close()
		for range back {
			if wsutil.WriteServerBinary(conn, []byte("a copy")) != nil {
				return
			}
		}
	}))
	defer s.Close()
	defer close(back)
	addr := netip.MustParseAddrPort(strings.TrimPrefix(s.URL, "http://"))
	c, err := (&Server{Host: addr.String(), Addr: addr, Path: "/"}).OpenCommand(t.Context(), time.Minute)
	require.NoError(t, err)
	defer c.Close()
	for range 3 {
		require.NoError(t, c.Publish(t.Context(), []byte("x")))
	}
	require.NoError(t, c.Await(t.Context(), 1), "this server may send no copies")
	back <- struct{}{}
	require.Eventually(t, func() bool { return c.copies.Load() == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, c.Await(t.Context(), 3))
	late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, c.Await(late, 2), "has not sent 2 broadcasts")
	done := make(chan error, 1)
	go func() { done <- c.Await(t.Context(), 1) }()
	back <- struct{}{}
	back <- struct{}{}
	require.NoError(t, <-done)
}
