package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fakeLevel is a log that knows two levels.
type fakeLevel struct{ level atomic.Pointer[string] }

func (f *fakeLevel) Level() string { return *f.level.Load() }
func (f *fakeLevel) SetLevel(to string) error {
	if to != "debug" && to != "info" {
		return fmt.Errorf("no level %q", to)
	}
	f.level.Store(&to)
	return nil
}

func TestLogLevel(t *testing.T) {
	f := start(t, nil)
	log := &fakeLevel{}
	_ = log.SetLevel("info")
	f.ServeLogLevel(log)
	if answer, body := f.do("GET", "/v1/log", ""); answer.StatusCode != 200 || !strings.Contains(body, `"info"`) {
		t.Errorf("%s %s", answer.Status, body)
	}
	if answer, body := f.do("PUT", "/v1/log", `{"level":"debug"}`); answer.StatusCode != 200 || !strings.Contains(body, `"debug"`) || log.Level() != "debug" {
		t.Errorf("%s %s", answer.Status, body)
	}
	if !strings.Contains(f.log.String(), "log level changed") {
		t.Errorf("the change is not logged: %s", f.log)
	}
	for _, wrong := range []string{`{"level":"loud"}`, `{"levl":"info"}`, `debug`, ``} {
		if answer, body := f.do("PUT", "/v1/log", wrong); answer.StatusCode != 400 || log.Level() != "debug" {
			t.Errorf("%q: %s %s", wrong, answer.Status, body)
		}
	}
}

func TestWatchRequests(t *testing.T) {
	f := start(t, nil)
	var added []string
	f.ServeWatch(Watch{
		Add: func(who string, d time.Duration, payload int) (any, error) {
			if who == "one-too-many" {
				return nil, errors.New("no room")
			}
			added = append(added, fmt.Sprint(who, " ", d, " ", payload))
			return map[string]string{"principal": who}, nil
		},
		Remove:  func(who string) bool { return who == "a/b" },
		List:    func() any { return []string{"dev1"} },
		Default: 10 * time.Minute, Max: time.Hour, MaxPayload: 100,
	})
	for _, c := range []struct {
		request string
		status  int
		says    string
	}{
		{"GET /v1/debug", 200, "dev1"},
		{"PUT /v1/debug/dev1", 200, "dev1"},
		{"PUT /v1/debug/a%2Fb?for=90s&payload=64", 200, "a/b"},
		{"PUT /v1/debug/dev1?for=2h", 400, "1h0m0s"},
		{"PUT /v1/debug/dev1?for=soon", 400, "1h0m0s"},
		{"PUT /v1/debug/dev1?payload=101", 400, "100"},
		{"PUT /v1/debug/" + strings.Repeat("x", 129), 400, "128"},
		{"PUT /v1/debug/", 400, "128"},
		{"PUT /v1/debug/one-too-many", 409, "no room"},
		{"DELETE /v1/debug/a/b", 204, ""},
		{"DELETE /v1/debug/nobody", 404, "not watched"},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		if answer, body := f.do(method, path, ""); answer.StatusCode != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %s %s", c.request, answer.Status, body)
		}
	}
	if got := strings.Join(added, "; "); got != "dev1 10m0s 0; a/b 1m30s 64" {
		t.Errorf("added %s", got)
	}
}

func TestProfiles(t *testing.T) {
	f := start(t, nil)
	f.ServeProfiles()
	for _, path := range []string{"heap", "goroutine", "allocs", "threadcreate", "profile?seconds=1"} {
		answer, body := f.do("GET", "/debug/pprof/"+path, "")
		if answer.StatusCode != 200 || !bytes.HasPrefix([]byte(body), []byte{0x1f, 0x8b}) { // gzip: a pprof file
			t.Errorf("%s: %s, %.20q", path, answer.Status, body)
		}
	}
	for path, status := range map[string]int{"cmdline": 404, "block": 404, "nothing": 404, "profile?seconds=1000": 400, "trace?seconds=-1": 400,
		"profile?seconds=NaN": 400, "trace?seconds=NaN": 400, "profile?seconds=0.5": 400, "heap?seconds=1000": 400, "goroutine?seconds=0": 400} {
		if answer, _ := f.do("GET", "/debug/pprof/"+path, ""); answer.StatusCode != status {
			t.Errorf("%s: %s, want %d", path, answer.Status, status)
		}
	}
	form := strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"seconds\"\r\n\r\n1000\r\n--x--\r\n")
	r := httptest.NewRequest("GET", "/debug/pprof/heap", form) // net/http/pprof reads it there too
	r.RemoteAddr = "127.0.0.1:5"
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	w := httptest.NewRecorder()
	if f.mux.ServeHTTP(w, r); w.Code != 400 {
		t.Errorf("seconds in a form: %d, want 400", w.Code)
	}
	for from, status := range map[string]int{"127.0.0.1:5": 200, "[::1]:5": 200, "192.0.2.7:5": 403, "": 403} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/debug/pprof/goroutine", nil)
		r.RemoteAddr = from
		if f.mux.ServeHTTP(w, r); w.Code != status {
			t.Errorf("from %q: %d, want %d", from, w.Code, status)
		}
	}
	f.token.Store(tokenHash("secret"))
	for token, status := range map[string]int{"Bearer secret": 200, "Bearer wrong": 403, "": 403} {
		for _, from := range []string{"192.0.2.7:5", "127.0.0.1:5"} { // a proxy on this host
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/debug/pprof/goroutine", nil)
			r.RemoteAddr = from
			r.Header.Set("Authorization", token)
			if f.mux.ServeHTTP(w, r); w.Code != status {
				t.Errorf("from %s with %q: %d, want %d", from, token, w.Code, status)
			}
		}
	}
}

// Events come by themselves, the number of listeners is bounded, and neither
// they nor the server's end hang.
func TestLive(t *testing.T) {
	f := start(t, nil)
	var n atomic.Int64
	f.ServeSnapshots(func() any { return map[string]int64{"n": n.Add(1)} })
	if answer, body := f.do("GET", "/v1/snapshot", ""); answer.StatusCode != 200 || !strings.Contains(body, `"n": 1`) {
		t.Errorf("%s %s", answer.Status, body)
	}
	open := func() *http.Response {
		t.Helper()
		answer, err := f.client.Get("http://" + f.Addr() + "/v1/live")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	first := open()
	if got := first.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	lines := bufio.NewReader(first.Body)
	for i := range 2 {
		line, err := lines.ReadString('\n')
		if want := fmt.Sprintf("data: {\"n\":%d}\n", i+2); err != nil || line != want {
			t.Fatalf("event %d is %q, %v; want %q", i, line, err, want)
		}
		if blank, err := lines.ReadString('\n'); err != nil || blank != "\n" {
			t.Fatalf("after it %q, %v", blank, err)
		}
	}
	for range maxLive - 1 {
		if answer := open(); answer.StatusCode != 200 {
			t.Fatal(answer.Status)
		}
	}
	if answer := open(); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("one stream more than allowed: %s", answer.Status)
	}
	begun := time.Now()
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f.Server.Close(ctx); err != nil {
		t.Errorf("with streams open after %v: %v", time.Since(begun), err)
	}
}
