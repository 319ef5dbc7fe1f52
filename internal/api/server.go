package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/listen"

	"golang.org/x/time/rate"
)

// Limits of the server. They are fixed: no request of this API is large, slow
// or frequent, so there is nothing for an operator to weigh. Handlers that
// stream lift the write deadline for themselves (http.ResponseController).
const (
	// MaxConns connections are served at a time; more wait to be accepted.
	// When they are all taken, those that wait for a next request are closed.
	// Each costs a descriptor out of the reserve that sessions leave; see
	// Config.Descriptors.
	MaxConns = 64
	// MaxHeaderBytes bounds the head of a request, MaxBodyBytes its body.
	MaxHeaderBytes = 16 << 10
	MaxBodyBytes   = 1 << 20

	headerTimeout = 5 * time.Second  // to send the head
	readTimeout   = 15 * time.Second // to send head and body
	writeTimeout  = 30 * time.Second // from the end of the head to the end of the answer
	idleTimeout   = 60 * time.Second // between two requests of a connection
)

// Config is what a Server needs.
type Config struct {
	// Addr is the HOST:PORT to listen on.
	Addr string
	// Info is the answer of /v1/info, apart from the uptime.
	Info Info
	// Readiness is the answer of /readyz. Required.
	Readiness *Readiness
	// Alive is asked by /healthz: an error means that only a new process can
	// help. It must answer at once. nil: a process that answers is alive.
	Alive func() error
	// Descriptors bounds the numbers that connections may have; one above is
	// closed at once. 0 is no bound.
	Descriptors int
	// Log gets the server's own errors. Required.
	Log *slog.Logger
}

// Server serves the API address. Its methods may be called from any goroutine.
type Server struct {
	config   Config
	mux      *http.ServeMux
	http     *http.Server
	listener net.Listener
	token    atomic.Pointer[[sha256.Size]byte] // nil: none is asked for
	closing  chan struct{}                     // closed when streams should end
	served   atomic.Bool                       // Serve was called
	routes   []string                          // patterns given to Handle, before Serve

	broadcasts *rate.Limiter // TuneV1 sets its limit
}

// Listen opens the API address with the handlers of this package; Handle adds
// more, and Serve answers. Who connects in between waits: no request meets a
// server that has not all of its handlers, or not yet the token that guards
// them. End it with Close.
//
// It opens descriptors, so it must come after the event loops have taken
// descriptor tables of their own.
func Listen(config Config) (*Server, error) {
	s := &Server{config: config, mux: http.NewServeMux(), closing: make(chan struct{}), broadcasts: rate.NewLimiter(1, 1)}
	if s.config.Info.Started.IsZero() {
		s.config.Info.Started = time.Now()
	}
	listener, err := net.Listen("tcp", config.Addr)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s.listener = listen.Bound(listener, listen.Limits{Conns: MaxConns, Descriptors: config.Descriptors, Full: s.full})
	s.http = &http.Server{
		Handler:           s.guard(s.mux),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug), // what peers do wrong
	}
	s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(s.closing) }))
	s.Handle("GET /healthz", http.HandlerFunc(s.health))
	s.Handle("GET /readyz", http.HandlerFunc(s.ready))
	s.Handle("GET /v1/info", http.HandlerFunc(s.info))
	return s, nil
}

// full has connections that are idle, or become so, make room while there is
// none: whoever keeps them would else keep out the probes too.
func (s *Server) full(full bool) { s.http.SetKeepAlivesEnabled(!full) }

// Serve starts to answer. It is called once, after the last Handle.
func (s *Server) Serve() {
	s.served.Store(true)
	go func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.config.Log.Error("the API address is no longer served", "error", err)
			s.config.Readiness.Set("api", err.Error())
		}
	}()
}

// Addr is the address that is listened on, with the port that was given for
// port 0.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Handle serves pattern (of net/http.ServeMux, with a method) with handler.
// It panics when the pattern is taken. Before Serve.
func (s *Server) Handle(pattern string, handler http.Handler) {
	s.mux.Handle(pattern, handler)
	s.routes = append(s.routes, pattern)
}

// Routes returns the patterns that are served, in the order of Handle: what a
// description of the API is compared with.
func (s *Server) Routes() []string { return slices.Clone(s.routes) }

// Close takes no more requests and waits for the running ones until ctx is
// done; what still runs then is cut off, and ctx's error returned.
func (s *Server) Close(ctx context.Context) error {
	if !s.served.Load() {
		return s.listener.Close()
	}
	if err := s.http.Shutdown(ctx); err != nil {
		return fmt.Errorf("api: requests were cut off: %w", errors.Join(err, s.http.Close()))
	}
	return nil
}
