package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/limpet-gateway/limpet/internal/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	*Server
	t         *testing.T
	readiness *Readiness
	log       *logtest.Log
	client    *http.Client
}

// start serves on a free port until the test ends.
func start(t *testing.T, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, readiness: &Readiness{}, log: new(logtest.Log)}
	config := Config{Addr: "127.0.0.1:0", Readiness: f.readiness, Log: slog.New(slog.NewTextHandler(f.log, nil))}
	if change != nil {
		change(&config)
	}
	server, err := Listen(config)
	if err != nil {
		t.Fatal(err)
	}
	f.Server = server
	server.Serve()
	transport := &http.Transport{}
	f.client = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return f
}

// do returns the answer and its body.
func (f *fixture) do(method, path, body string) (*http.Response, string) {
	f.t.Helper()
	request, err := http.NewRequest(method, "http://"+f.Addr()+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	answer, err := f.client.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer, string(text)
}

// wantProblem checks that an answer is a problem document (RFC 9457).
func (f *fixture) wantProblem(answer *http.Response, body string, want Problem) {
	f.t.Helper()
	if media := answer.Header.Get("Content-Type"); media != "application/problem+json" {
		f.t.Errorf("media type %q, want application/problem+json", media)
	}
	var got Problem
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		f.t.Fatalf("%v in %q", err, body)
	}
	if answer.StatusCode != want.Status {
		f.t.Errorf("status %d, want %d", answer.StatusCode, want.Status)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("problem (-want +got):\n%s", diff)
	}
}

func TestHealth(t *testing.T) {
	var stuck error
	f := start(t, func(c *Config) { c.Alive = func() error { return stuck } })
	answer, body := f.do("GET", "/healthz", "")
	if answer.StatusCode != 200 || body != "{\n  \"status\": \"alive\"\n}\n" {
		t.Errorf("%s %s", answer.Status, body)
	}
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q: a proxy may repeat an old answer", got)
	}
	stuck = errors.New("loop 3 has not ticked for 30s")
	answer, body = f.do("GET", "/healthz", "")
	f.wantProblem(answer, body, Problem{"about:blank", "Service Unavailable", 503, "loop 3 has not ticked for 30s"})
}

func TestReadiness(t *testing.T) {
	f := start(t, nil)
	check := func(status int, want string) {
		t.Helper()
		answer, body := f.do("GET", "/readyz", "")
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != status || compact.String() != want {
			t.Errorf("%d %s, want %d %s", answer.StatusCode, compact.String(), status, want)
		}
		if retry := answer.Header.Get("Retry-After"); (retry != "") != (status == 503) {
			t.Errorf("Retry-After %q with status %d", retry, answer.StatusCode)
		}
	}
	check(503, `{"status":"starting"}`)
	f.readiness.Start()
	check(200, `{"status":"ready"}`)
	f.readiness.Set("redis", "12 of 20 calls failed")
	f.readiness.Set("kafka", "no broker answers")
	f.readiness.Set("redis", "unreachable")
	check(200, `{"status":"degraded","reasons":[{"part":"kafka","reason":"no broker answers"},{"part":"redis","reason":"unreachable"}]}`)
	f.readiness.Set("kafka", "")
	f.readiness.Set("never degraded", "")
	f.readiness.Drain()
	check(503, `{"status":"draining","reasons":[{"part":"redis","reason":"unreachable"}]}`)
	f.readiness.Set("redis", "")
	f.readiness.Start()
	check(503, `{"status":"draining"}`)
}

func TestInfo(t *testing.T) {
	started := time.Now().Add(-90 * time.Second).UTC()
	f := start(t, func(c *Config) {
		c.Info = Info{Node: "gw-1", Version: "v1.2.3", Started: started, Listen: "127.0.0.1:8080",
			Uplink: "kafka", Kafka: []string{"127.0.0.1:9092"}, TopicPrefix: "limpet."}
	})
	_, body := f.do("GET", "/v1/info", "")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if uptime := got["uptime_seconds"].(float64); uptime < 90 || uptime > 100 {
		t.Errorf("uptime %v s, want 90", uptime)
	}
	delete(got, "uptime_seconds")
	want := map[string]any{"node": "gw-1", "version": "v1.2.3", "started": started.Format(time.RFC3339Nano), "listen": "127.0.0.1:8080",
		"uplink": "kafka", "kafka": []any{"127.0.0.1:9092"}, "topic_prefix": "limpet."}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
}

func TestInfoWithoutKafka(t *testing.T) {
	if _, body := start(t, nil).do("GET", "/v1/info", ""); !strings.Contains(body, `"kafka": []`) {
		t.Errorf("kafka is not an empty list in %s", body)
	}
}

func TestProblems(t *testing.T) {
	f := start(t, nil)
	f.Handle("GET /panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken promise") }))
	f.Handle("POST /body", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var tooLarge *http.MaxBytesError
		if _, err := io.Copy(io.Discard, r.Body); errors.As(err, &tooLarge) {
			WriteProblem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("at most %d bytes", tooLarge.Limit))
		}
	}))

	answer, body := f.do("GET", "/nothing", "")
	f.wantProblem(answer, body, Problem{"about:blank", "Not Found", 404, "there is nothing at /nothing"})

	answer, body = f.do("DELETE", "/readyz", "")
	f.wantProblem(answer, body, Problem{"about:blank", "Method Not Allowed", 405, "/readyz has no method DELETE, it has GET, HEAD"})
	if allow := answer.Header.Get("Allow"); allow != "GET, HEAD" {
		t.Errorf("Allow %q, want GET, HEAD (RFC 9110 section 15.5.6)", allow)
	}

	answer, body = f.do("GET", "/panic", "")
	f.wantProblem(answer, body, Problem{"about:blank", "Internal Server Error", 500, "the gateway has a fault; its log says more"})
	if log := f.log.String(); !strings.Contains(log, "broken promise") || !strings.Contains(log, "path=/panic") {
		t.Errorf("the log does not tell of the panic: %s", log)
	}

	answer, body = f.do("POST", "/body", strings.Repeat("x", MaxBodyBytes+1))
	f.wantProblem(answer, body, Problem{"about:blank", "Request Entity Too Large", 413, "at most 1048576 bytes"})
	if answer, _ = f.do("POST", "/body", strings.Repeat("x", MaxBodyBytes)); answer.StatusCode != 200 {
		t.Errorf("a body of exactly the limit: %s", answer.Status)
	}

	// net/http stops reading and resets the connection, so only the status
	// is sure to arrive.
	answer, err := f.client.Get("http://" + f.Addr() + "/" + strings.Repeat("x", 2*MaxHeaderBytes))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 431 {
		t.Errorf("a head above the limit: %s, want 431", answer.Status)
	}
}

// Connections above the limit wait, and are served when others leave.
func TestConnectionLimit(t *testing.T) {
	f := start(t, nil)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", f.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	f.Handle("POST /body", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) }))
	conns := make([]net.Conn, MaxConns)
	for i := range conns {
		conns[i] = dial()
		if _, err := io.WriteString(conns[i], "POST /body HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nx"); err != nil { // half of it
			t.Fatal(err)
		}
	}
	late := dial()
	if err := ask(late, 200*time.Millisecond); !isTimeout(err) {
		t.Fatalf("connection %d: %v, want it to wait", MaxConns, err)
	}
	conns[0].Close()
	if err := ask(late, 5*time.Second); err != nil {
		t.Fatalf("after another left: %v", err)
	}
}

// Who keeps connections and asks nothing holds up nobody: when all are taken
// the idle ones are closed, and no further one is kept.
func TestIdleConnectionsGiveWay(t *testing.T) {
	f := start(t, nil)
	for i := range 3 * MaxConns {
		conn, err := net.Dial("tcp", f.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := ask(conn, 20*time.Second); err != nil { // idleTimeout is longer
			t.Fatalf("connection %d: %v", i, err)
		}
	}
}

// Who has not shown the token is answered without a wait for the rest of the
// request, and not heard any more.
func TestRefusedBodiesAreNotAwaited(t *testing.T) {
	f := start(t, nil)
	f.token.Store(tokenHash("secret"))
	f.ServeProfiles()
	for request, status := range map[string]int{"POST /v1/push": 401, "GET /debug/pprof/heap": 403} {
		conn, err := net.Dial("tcp", f.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(readTimeout - 3*time.Second))
		if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", request); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", request, err)
		}
		if answer.StatusCode != status || !answer.Close {
			t.Errorf("%s: %s, the connection ends: %v; want %d and the end", request, answer.Status, answer.Close, status)
		}
	}
}

// ask sends a request, unless one is under way, and reads an answer.
func ask(conn net.Conn, limit time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return fmt.Errorf("status %s", answer.Status)
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Close waits for a request that runs, and cuts it off when time is up.
func TestClose(t *testing.T) {
	for name, c := range map[string]struct {
		needs, waits time.Duration
		cut          bool
	}{
		"waits":    {100 * time.Millisecond, 10 * time.Second, false},
		"cuts off": {10 * time.Second, 50 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			server, err := Listen(Config{Addr: "127.0.0.1:0", Readiness: &Readiness{}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			server.Serve()
			running := make(chan struct{})
			server.Handle("GET /slow", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(running)
				select {
				case <-time.After(c.needs):
				case <-r.Context().Done():
				}
			}))
			result := make(chan error, 1)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			go func() {
				answer, err := client.Get("http://" + server.Addr() + "/slow")
				if err == nil {
					answer.Body.Close()
				}
				result <- err
			}()
			<-running
			ctx, cancel := context.WithTimeout(context.Background(), c.waits)
			defer cancel()
			if err := server.Close(ctx); (err != nil) != c.cut {
				t.Errorf("Close: %v, want an error: %v", err, c.cut)
			}
			if err := <-result; (err != nil) != c.cut {
				t.Errorf("the request: %v, want an error: %v", err, c.cut)
			}
			if conn, err := net.Dial("tcp", server.Addr()); err == nil {
				conn.Close()
				t.Error("the address is still open")
			}
		})
	}
}

func TestAddressTaken(t *testing.T) {
	f := start(t, nil)
	_, err := Listen(Config{Addr: f.Addr(), Readiness: &Readiness{}, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Listen on a taken address: %v", err)
	}
}
