package api

import (
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
)

// maxProfile bounds a profile over time or a trace, in seconds.
const maxProfile = 120

// profiles are served by name. Block and mutex profiles are not among them:
// they are empty unless the process was built to take them.
var profiles = []string{"allocs", "goroutine", "heap", "threadcreate"}

// ServeProfiles adds /debug/pprof/: profile and trace with ?seconds=N, allocs,
// goroutine, heap and threadcreate, for go tool pprof and limpet profile. A
// profile tells more about a process than a stranger should know and costs CPU,
// so it is for who has the token or, where there is none, for this host: with a
// proxy on it the whole world comes from there.
func (s *Server) ServeProfiles() {
	s.Handle("GET /debug/pprof/profile", s.local(timed(pprof.Profile)))
	s.Handle("GET /debug/pprof/trace", s.local(timed(pprof.Trace)))
	s.Handle("GET /debug/pprof/symbol", s.local(pprof.Symbol))
	s.Handle("GET /debug/pprof/{name}", s.local(timed(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		if !slices.Contains(profiles, name) {
			WriteProblem(w, http.StatusNotFound, "there is no profile "+strconv.Quote(name))
			return
		}
		pprof.Handler(name).ServeHTTP(w, r)
	})))
}

// timed refuses profiles that take too long, and times that net/http/pprof would
// replace by its own. It reads the time as that does, which lifts the write
// deadline too.
func timed(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if text := r.FormValue("seconds"); text != "" {
			if n, err := strconv.Atoi(text); err != nil || n < 1 || n > maxProfile {
				WriteProblem(w, http.StatusBadRequest, "seconds "+strconv.Quote(text)+": want a whole number from 1 to "+strconv.Itoa(maxProfile))
				return
			}
		}
		handler(w, r)
	}
}

// local serves who carries the token of the API; peers on this host where there
// is none.
func (s *Server) local(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		switch want := s.token.Load(); {
		case want != nil && carries(r, want), want == nil && err == nil && net.ParseIP(host).IsLoopback():
			handler(w, r)
		case want != nil:
			hearNoMore(w, r)
			WriteProblem(w, http.StatusForbidden, "profiles want the token of the API (api-token)")
		default:
			hearNoMore(w, r)
			WriteProblem(w, http.StatusForbidden, "profiles are given to this host alone, where the API has no token")
		}
	})
}
