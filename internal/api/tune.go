package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Level is a log whose level can be changed.
type Level interface {
	Level() string
	SetLevel(string) error
}

// logLevel is the document of /v1/log.
type logLevel struct {
	Level string `json:"level"`
}

// ServeLogLevel adds GET and PUT /v1/log, with {"level":"debug"}.
func (s *Server) ServeLogLevel(log Level) {
	s.Handle("GET /v1/log", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		WriteJSON(w, http.StatusOK, logLevel{log.Level()})
	}))
	s.Handle("PUT /v1/log", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var want logLevel
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&want); err != nil {
			WriteProblem(w, http.StatusBadRequest, `want {"level":"debug"}, or info, warn or error: `+err.Error())
			return
		}
		before := log.Level()
		if err := log.SetLevel(want.Level); err != nil {
			WriteProblem(w, http.StatusBadRequest, err.Error())
			return
		}
		s.config.Log.Info("log level changed", "from", before, "to", log.Level())
		WriteJSON(w, http.StatusOK, logLevel{log.Level()})
	}))
}

// Watch turns the logging of single principals on and off.
type Watch struct {
	// Add watches a principal for a time and shows so many bytes of its
	// payloads. It returns a document for the answer, or an error that says
	// why there is no room for another.
	Add func(principal string, d time.Duration, payload int) (any, error)
	// Remove reports whether the principal was watched.
	Remove func(principal string) bool
	// List returns a document with those that are watched.
	List func() any

	Default, Max time.Duration // how long one is watched
	MaxPayload   int
}

// ServeWatch adds GET /v1/debug, PUT and DELETE /v1/debug/{principal}. Put
// takes ?for=10m and ?payload=BYTES.
func (s *Server) ServeWatch(watch Watch) {
	s.Handle("GET /v1/debug", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		WriteJSON(w, http.StatusOK, watch.List())
	}))
	s.Handle("PUT /v1/debug/{principal...}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		principal := r.PathValue("principal")
		d, payload, fault := watch.parse(r)
		switch {
		case principal == "" || len(principal) > maxName:
			fault = fmt.Sprintf("the name of a principal has 1 to %d bytes", maxName)
		case fault == "":
			document, err := watch.Add(principal, d, payload)
			if err != nil {
				WriteProblem(w, http.StatusConflict, err.Error())
				return
			}
			s.config.Log.Info("a principal is watched", "principal", principal, "for", d, "payload", payload)
			WriteJSON(w, http.StatusOK, document)
			return
		}
		WriteProblem(w, http.StatusBadRequest, fault)
	}))
	s.Handle("DELETE /v1/debug/{principal...}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !watch.Remove(r.PathValue("principal")) {
			WriteProblem(w, http.StatusNotFound, "this principal is not watched")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
}

func (watch *Watch) parse(r *http.Request) (d time.Duration, payload int, fault string) {
	d = watch.Default
	var err error
	if text := r.URL.Query().Get("for"); text != "" {
		if d, err = time.ParseDuration(text); err != nil || d < time.Second || d > watch.Max {
			return 0, 0, fmt.Sprintf("for %q: want a duration from 1s to %v", text, watch.Max)
		}
	}
	if text := r.URL.Query().Get("payload"); text != "" {
		if payload, err = strconv.Atoi(text); err != nil || payload < 0 || payload > watch.MaxPayload {
			return 0, 0, fmt.Sprintf("payload %q: want a number of bytes from 0 to %d", text, watch.MaxPayload)
		}
	}
	return d, payload, ""
}
