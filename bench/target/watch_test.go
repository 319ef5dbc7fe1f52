package target

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWatch(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	saw := func(what string) bool {
		mu.Lock()
		defer mu.Unlock()
		return seen[what] > 0
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Method+" "+r.URL.Path]++
		mu.Unlock()
		if r.URL.Path == "/v1/live" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	defer api.Close()
	s := &Server{API: strings.TrimPrefix(api.URL, "http://")}
	watch := func() (stop func() error) {
		stop, err := s.Watch(t.Context())
		require.NoError(t, err)
		for _, what := range []string{"PUT /v1/debug/nobody", "GET /v1/live", "GET /metrics"} {
			require.Eventually(t, func() bool { return saw(what) }, 30*time.Second, 5*time.Millisecond, what)
		}
		return stop
	}
	require.NoError(t, watch()())
	require.True(t, saw("DELETE /v1/debug/nobody"))
	_, err := (&Server{}).Watch(t.Context())
	require.ErrorIs(t, err, ErrNotWatched)
}
