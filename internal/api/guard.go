package api

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
)

// guard puts around mux what every request gets: a look at whether a web page
// sent it, the token, a limit for its body, an answer when the handler panics, and problem documents in place of the plain
// text with which ServeMux refuses what it does not know.
func (s *Server) guard(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recoverFrom(w, r)
		if !s.fromHere(w, r) || !s.admit(w, r) {
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, MaxBodyBytes)
		handler, pattern := mux.Handler(r)
		if pattern == "" {
			refuse(w, r, handler)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// refuse lets ServeMux's own handler say which methods the path has, and
// repeats its answer as a problem document.
func refuse(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	answer := plainAnswer{header: http.Header{}, status: http.StatusOK}
	handler.ServeHTTP(&answer, r)
	if allow := answer.header.Get("Allow"); answer.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		WriteProblem(w, answer.status, fmt.Sprintf("%s has no method %s, it has %s", r.URL.Path, r.Method, allow))
		return
	}
	WriteProblem(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
}

// plainAnswer keeps the header and status of an answer and drops its body.
type plainAnswer struct {
	header http.Header
	status int
}

func (a *plainAnswer) Header() http.Header         { return a.header }
func (a *plainAnswer) WriteHeader(status int)      { a.status = status }
func (a *plainAnswer) Write(p []byte) (int, error) { return len(p), nil }

// recoverFrom answers with 500 when a handler panicked. http.ErrAbortHandler
// is net/http's way to end an answer half-way, and is left to it.
func (s *Server) recoverFrom(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	s.config.Log.Error("a handler of the API panicked", "method", r.Method, "path", r.URL.Path,
		"panic", fmt.Sprint(cause), "stack", strings.TrimSpace(string(debug.Stack())))
	WriteProblem(w, http.StatusInternalServerError, "the gateway has a fault; its log says more")
}
