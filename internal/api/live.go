package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Limits of /v1/live.
const (
	liveInterval = time.Second
	liveTimeout  = 10 * time.Second // to write one event
	maxLive      = 16               // streams at a time; each holds one of MaxConns
)

// ServeSnapshots adds GET /v1/snapshot, one document of snapshot, and GET
// /v1/live, one every second as server-sent events until the client leaves or
// the server closes.
func (s *Server) ServeSnapshots(snapshot func() any) {
	s.Handle("GET /v1/snapshot", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		WriteJSON(w, http.StatusOK, snapshot())
	}))
	slots := make(chan struct{}, maxLive)
	s.Handle("GET /v1/live", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			w.Header().Set("Retry-After", "5")
			WriteProblem(w, http.StatusServiceUnavailable, fmt.Sprintf("%d watch already", maxLive))
			return
		}
		s.stream(w, r, snapshot)
	}))
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request, snapshot func() any) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would gather events
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // nothing more is read
	every := time.NewTicker(liveInterval)
	defer every.Stop()
	for {
		event, err := json.Marshal(snapshot())
		if err != nil {
			panic(err) // a struct of this program
		}
		_ = out.SetWriteDeadline(time.Now().Add(liveTimeout))
		if _, err := fmt.Fprintf(w, "data: %s\n\n", event); err != nil {
			return
		}
		if out.Flush() != nil {
			return
		}
		select {
		case <-every.C:
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		}
	}
}
