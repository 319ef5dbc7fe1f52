package api

import (
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
)

// maxProfile bounds a CPU profile or trace, in seconds.
const maxProfile = 120

// profiles are served by name. Block and mutex profiles are not among them:
// they are empty unless the process was built to take them.
var profiles = []string{"allocs", "goroutine", "heap", "threadcreate"}

// ServeProfiles adds /debug/pprof/: profile and trace with ?seconds=N, allocs,
// goroutine, heap and threadcreate, for go tool pprof and limpet profile. A
// profile tells more about a process than a stranger should know and costs CPU,
// so it is for this host, or for who has the token.
func (s *Server) ServeProfiles() {
	s.Handle("GET /debug/pprof/profile", s.local(timed(pprof.Profile)))
	s.Handle("GET /debug/pprof/trace", s.local(timed(pprof.Trace)))
	s.Handle("GET /debug/pprof/symbol", s.local(pprof.Symbol))
	s.Handle("GET /debug/pprof/{name}", s.local(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		if !slices.Contains(profiles, name) {
			WriteProblem(w, http.StatusNotFound, "there is no profile "+strconv.Quote(name))
			return
		}
		pprof.Handler(name).ServeHTTP(w, r)
	}))
}

// timed refuses profiles that take too long. The write deadline is lifted by
// net/http/pprof itself.
func timed(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if text := r.URL.Query().Get("seconds"); text != "" {
			if n, err := strconv.ParseFloat(text, 64); err != nil || n <= 0 || n > maxProfile {
				WriteProblem(w, http.StatusBadRequest, "seconds "+strconv.Quote(text)+": want more than 0, at most "+strconv.Itoa(maxProfile))
				return
			}
		}
		handler(w, r)
	}
}

// local serves peers on this host, and others that carry the token of the API.
func (s *Server) local(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		ip := net.ParseIP(host)
		if want := s.token.Load(); err == nil && ip.IsLoopback() || want != nil && carries(r, want) {
			handler(w, r)
			return
		}
		WriteProblem(w, http.StatusForbidden, "profiles are given to this host, and to who has the token of the API")
	})
}
