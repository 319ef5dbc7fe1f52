package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
)

// TestMain makes the test binary a client process, or a server to measure,
// when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == load.WorkerArg {
		if err := load.RunWorker(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if mode := os.Getenv("BENCH_SERVER"); mode != "" {
		serve(mode)
		return
	}
	goleak.VerifyTestMain(m)
}

// serve is a WebSocket server with a fault that mode names.
func serve(mode string) {
	if text, ok := strings.CutPrefix(mode, "nofile="); ok {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			panic(err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			panic(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { // ends with the test
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(l.Addr())
	switch mode {
	case "lose": // a moment after the last of 20 has come
		serveAndLose(l)
	case "hang":
		select {} // the kernel accepts; nobody answers
	case "garbage":
		for {
			c, err := l.Accept()
			if err != nil {
				panic(err)
			}
			fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2\r\n")
		}
	}
	panic(http.Serve(l, handler(mode)))
}

// serveAndLose upgrades connections, reads nothing, and ends 5 of the first
// 20 half a second after it has that many.
func serveAndLose(l net.Listener) {
	var mu sync.Mutex
	var open []*websocket.Conn
	up := websocket.Upgrader{}
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if open = append(open, c); len(open) == 20 {
			time.AfterFunc(500*time.Millisecond, func() {
				for _, c := range open[:5] {
					c.Close()
				}
			})
		}
	})))
}

func handler(mode string) http.HandlerFunc {
	up := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, CheckOrigin: func(*http.Request) bool { return true }}
	var mu sync.Mutex
	open := make(map[*websocket.Conn]*sync.Mutex)
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n := len(open)
		mu.Unlock()
		if mode == "refuse" && n >= 50 {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "full", http.StatusServiceUnavailable)
			return
		}
		if mode == "die" && n >= 50 {
			fmt.Fprintln(os.Stderr, "cannot go on")
			os.Exit(3)
		}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		mu.Lock()
		open[c] = new(sync.Mutex)
		mu.Unlock()
		defer func() {
			mu.Lock()
			delete(open, c)
			mu.Unlock()
			c.Close()
		}()
		send := func(to *websocket.Conn, lock *sync.Mutex, kind int, data []byte) {
			lock.Lock()
			defer lock.Unlock()
			_ = to.WriteMessage(kind, data) // a peer that has gone is met by its reader
		}
		for {
			kind, data, err := c.ReadMessage()
			if err != nil {
				return
			}
			if mode == "silent" {
				continue
			}
			if payload, all := strings.CutPrefix(string(data), "!broadcast "); all {
				mu.Lock()
				for other, lock := range open {
					send(other, lock, kind, []byte(payload))
				}
				mu.Unlock()
				continue
			}
			mu.Lock()
			own := open[c]
			mu.Unlock()
			send(c, own, kind, data)
		}
	}
}

// start starts the test binary as a server and returns its URL and process.
func start(t *testing.T, mode string) (url string, pid int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BENCH_SERVER="+mode)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill() // it may have ended as it should
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return "ws://" + strings.TrimSpace(line) + "/ws?id=t-{n}", cmd.Process.Pid
}

// quick are the options of a scenario, small enough for a test.
func quick(t *testing.T, scenario, url string) Options {
	t.Helper()
	s, ok := Find(scenario)
	require.True(t, ok)
	o := s.Defaults
	o.Scenario, o.Targets = scenario, []string{url}
	o.Conns, o.Steps, o.Rounds, o.Rate = 200, 4, 1, 2000
	o.Duration, o.Warmup, o.Timeout = 500*time.Millisecond, 100*time.Millisecond, 3*time.Second
	o.Client, o.Command, o.Tool = []string{os.Args[0], load.WorkerArg}, os.Args, "test"
	return o
}

// listener is Progress that hands samples to a function.
type listener struct {
	mu     sync.Mutex
	lines  []string // guarded by mu
	sample func(report.Sample)
}

func (l *listener) Line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, text)
}

func (l *listener) Sample(_ string, s report.Sample) {
	if l.sample != nil {
		l.sample(s)
	}
}

func run(t *testing.T, o Options, p *listener) (*report.Target, *report.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := Run(ctx, o, p)
	require.Len(t, r.Targets, 1)
	return r.Targets[0], r, err
}

func value(t *testing.T, target *report.Target, name string) float64 {
	t.Helper()
	f, ok := target.Figure(name)
	require.True(t, ok, "no figure %s in %v", name, target.Figures)
	return f.Value
}
