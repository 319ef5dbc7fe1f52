package auth

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/limpet-gateway/limpet/internal/session"
)

func hookService(t *testing.T, cfg WebhookConfig, handler http.HandlerFunc) (*Service, *decisions) {
	t.Helper()
	cfg.URL = server(t, handler)
	return startService(t, Config{Methods: []string{MethodWebhook}, Webhook: cfg})
}

// hang answers nothing until the caller has gone, which net/http notices once
// the body is read.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	select {
	case <-r.Context().Done():
	case <-time.After(patience):
	}
}

func priority(p session.Priority) *session.Priority { return &p }

func TestWebhookYes(t *testing.T) {
	var asked webhookQuestion
	service, _ := hookService(t, WebhookConfig{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s with %q", r.Method, r.Header.Get("Content-Type"))
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, `{"principal":"dev1","tenant":"acme","groups":["g"],"priority":"medium","expires":4102444800,"rate_messages":5,"rate_bytes":100}`)
	})
	facts := Facts{Node: "n", Remote: "192.0.2.1", Host: "h", Path: "/ws", Query: "a=b", Origin: "https://o.example", Cookie: "c=1", UserAgent: "u"}
	r := request(1, "tok")
	r.Facts = facts
	d := service.Check(t.Context(), r)
	want := &Identity{Principal: "acme/dev1", Groups: []string{"acme/g"}, Priority: priority(session.Medium), Expires: time.Unix(4102444800, 0), Limits: Limits{5, 100}}
	if diff := cmp.Diff(&Decision{Identity: want}, d); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(webhookQuestion{"tok", facts}, asked); diff != "" {
		t.Errorf("question (-want +got):\n%s", diff)
	}
}

// Whatever goes wrong with a webhook, nobody gets in by it.
func TestWebhookFailures(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"hangs": hang,
		"500":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"204":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"429":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"not JSON":         func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>ok</html>") },
		"empty":            func(http.ResponseWriter, *http.Request) {},
		"no principal":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"bad principal":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"principal":"a b"}`) },
		"expired":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"principal":"a","expires":1}`) },
		"unknown priority": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"principal":"a","priority":"top"}`) },
		"negative rate":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"principal":"a","rate_bytes":-1}`) },
		"huge answer": func(w http.ResponseWriter, _ *http.Request) { // its beginning alone would be good
			fmt.Fprint(w, `{"principal":"a"}`, strings.Repeat(" ", webhookMaxAnswer))
		},
		"huge head": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Pad", strings.Repeat("x", 128<<10))
			fmt.Fprint(w, `{"principal":"a"}`)
		},
		"ends half-way": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"principal":"a"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service, decided := hookService(t, WebhookConfig{Timeout: 300 * time.Millisecond}, answer)
			service.Submit(request(1, "tok"))
			d := decided.wait(t, 1)
			wantStatus(t, d, 503)
			if d.Denial.RetryAfter <= 0 {
				t.Error("503 without Retry-After")
			}
			if d.Denial.detail == "" {
				t.Error("nothing for the log says what was wrong with the answer")
			}
		})
	}
}

// A no is remembered for the same question; a no of any number does not open
// the breaker, and what is remembered stays bounded.
func TestWebhookNo(t *testing.T) {
	var asked atomic.Int32
	service, _ := hookService(t, WebhookConfig{Remember: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var q webhookQuestion
		_ = json.NewDecoder(r.Body).Decode(&q)
		if q.Token == "banned" {
			w.WriteHeader(403)
		} else {
			w.WriteHeader(401)
		}
	})
	for range 20 {
		wantStatus(t, check(t, service, "bad"), 401)
		wantStatus(t, check(t, service, "banned"), 403)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the webhook was asked %d times for two questions", n)
	}
	for i := range 4 * breakerFailures {
		wantStatus(t, check(t, service, fmt.Sprint("bad", i)), 401)
	}
}

func TestDenialsAreBounded(t *testing.T) {
	r := newRecent(100, time.Minute)
	for i := range 100_000 {
		r.put([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}, 401)
		if n := remembered(r); n > 200 {
			t.Fatalf("%d denials are remembered", n)
		}
	}
	key := [32]byte{1}
	r.keep = time.Nanosecond
	r.put(key, 403)
	time.Sleep(time.Millisecond)
	if _, ok := r.get(key); ok {
		t.Error("a denial outlives its time")
	}
	r.keep = 0
	r.put(key, 403)
	if _, ok := r.get(key); ok {
		t.Error("a denial is remembered although it should not be")
	}
}

// A webhook that fails is left alone for a while, asked again once, and used
// when it works.
func TestBreaker(t *testing.T) {
	var asked atomic.Int32
	var works atomic.Bool
	service, _ := hookService(t, WebhookConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if !works.Load() {
			w.WriteHeader(500)
			return
		}
		fmt.Fprint(w, `{"principal":"a"}`)
	})
	for range 10 * breakerFailures {
		wantStatus(t, check(t, service, "tok"), 503)
	}
	if n := asked.Load(); n != breakerFailures {
		t.Errorf("a broken webhook was asked %d times, want %d", n, breakerFailures)
	}
	works.Store(true)
	for end := time.Now().Add(patience); check(t, service, "tok").Denial != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a webhook that works again is not used")
		}
	}
}

func TestFailOpen(t *testing.T) {
	service, _ := hookService(t, WebhookConfig{FailOpen: true}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	for range 2 * breakerFailures {
		d := check(t, service, "tok")
		if diff := cmp.Diff(&Decision{Identity: &Identity{Priority: priority(session.Low)}}, d); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// counting counts the calls that are under way as the caller sees them: a
// server learns late that a caller gave up.
type counting struct {
	http.RoundTripper
	now, most atomic.Int32
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for seen := c.most.Load(); n > seen && !c.most.CompareAndSwap(seen, n); seen = c.most.Load() {
	}
	return c.RoundTripper.RoundTrip(r)
}

// A webhook that hangs has so many calls at a time, and the rest wait or are
// refused; nothing grows.
func TestWebhookIsBounded(t *testing.T) {
	service, decided := startService(t, Config{Methods: []string{MethodWebhook}, Queue: 20, Webhook: WebhookConfig{
		Concurrency: 4, Timeout: 500 * time.Millisecond, URL: server(t, hang),
	}})
	client := service.stages[0].in.Load().method.(*webhookMethod).client
	calls := &counting{RoundTripper: client.Transport}
	client.Transport = calls
	taken := uint32(0)
	for i := range uint32(100) {
		if !service.Submit(request(i, "tok")) {
			break
		}
		taken++
	}
	if taken < 20 || taken > 24 {
		t.Errorf("%d requests were taken, want a queue of 20 and 4 calls", taken)
	}
	if service.Stats().Overflow == 0 {
		t.Error("no overflow is counted")
	}
	for i := range taken {
		wantStatus(t, decided.wait(t, i), 503)
	}
	if n := calls.most.Load(); n != 4 {
		t.Errorf("%d calls at a time, want 4", n)
	}
}

func remembered(r *recent) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.newer) + len(r.older)
}
