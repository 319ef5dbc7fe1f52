package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// scrapeEvery is how often Watch reads the metrics.
const scrapeEvery = 5 * time.Second

// ErrNotWatched is returned by Watch for a server that offers nothing to look
// at.
var ErrNotWatched = errors.New("the server has no API to look at it: --spawn limpet does")

// Watch looks at limpet as people and programs do, all at once: its metrics are
// scraped every 5 s, a dashboard is open (/v1/live), and the messages of a
// principal that does not come are logged (/v1/debug), so that each message of
// the others is held against the list. stop ends that, and says what went wrong
// meanwhile.
func (s *Server) Watch(ctx context.Context) (stop func() error, err error) {
	if s.API == "" {
		return nil, ErrNotWatched
	}
	const debug = "/v1/debug/nobody"
	if err := s.ask(ctx, http.MethodPut, debug+"?for=1h"); err != nil {
		return nil, err
	}
	watching, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	faults := make([]error, 2)
	tasks.Go(func() {
		if err := s.ask(watching, http.MethodGet, "/v1/live"); watching.Err() == nil {
			faults[0] = fmt.Errorf("the dashboard's stream ended: %w", errors.Join(err, io.EOF))
		}
	})
	tasks.Go(func() {
		for ticker := time.NewTicker(scrapeEvery); ; {
			if err := s.ask(watching, http.MethodGet, "/metrics"); err != nil && watching.Err() == nil {
				faults[1] = err
			}
			select {
			case <-watching.Done():
				ticker.Stop()
				return
			case <-ticker.C:
			}
		}
	})
	return sync.OnceValue(func() error {
		cancel()
		tasks.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), metricsTimeout)
		defer cancel()
		return errors.Join(faults[0], faults[1], s.ask(ctx, http.MethodDelete, debug))
	}), nil
}

// ask makes a request of the API and reads the answer to its end.
func (s *Server) ask(ctx context.Context, method, path string) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.API+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, strings.TrimSpace(string(text)))
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
