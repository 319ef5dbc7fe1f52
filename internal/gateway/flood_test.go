package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/internal/auth"
)

// A flood of handshakes that only a webhook could decide over, and which hangs:
// each of them is answered with 503, and meanwhile who has a token gets in and
// is served.
func TestFloodOfHandshakes(t *testing.T) {
	release := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hook.Close)
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	const queue = 32
	_, url := startAuth(t, auth.Config{
		Methods: []string{auth.MethodJWT, auth.MethodWebhook}, Queue: queue,
		Webhook: auth.WebhookConfig{URL: hook.URL, Timeout: 2 * time.Second, Concurrency: 4},
	})
	inside := dialAs(t, url, "inside")

	var flood sync.WaitGroup
	var refused atomic.Int64
	for range 16 {
		flood.Go(func() {
			for range 20 {
				c, resp, err := (&websocket.Dialer{HandshakeTimeout: patience}).Dial(url, bearer("not.a.token"))
				if err == nil {
					c.Close()
					t.Error("somebody without a token got in")
					return
				}
				if resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
					t.Errorf("%v, %v; want 503 with Retry-After", err, resp)
					return
				}
				refused.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() { flood.Wait(); close(done) }()
	for served := 0; ; served++ {
		if err := inside.WriteMessage(websocket.TextMessage, []byte("served")); err != nil {
			t.Fatal(err)
		}
		expect(t, inside, "served")
		dialAs(t, url, "another").Close()
		select {
		case <-done:
			if n := refused.Load(); n != 320 {
				t.Errorf("%d of 320 handshakes were refused", n)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func dialAs(t *testing.T, url, name string) *websocket.Conn {
	t.Helper()
	status, c := knock(t, url, bearer(token(t, name, time.Hour)))
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("%s gets %d", name, status)
	}
	return c
}
