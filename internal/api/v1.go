package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// V1 is what serves the requests under /v1 that are about sessions. Names and
// ids have been checked when it is called. Errors are internal: what a caller
// can do something about is in the answers.
type V1 interface {
	// Push takes pushes to their targets and returns what became of each.
	Push(ctx context.Context, pushes []Push) ([]Pushed, error)
	// Sessions returns those of a principal, on all nodes.
	Sessions(ctx context.Context, principal string) ([]Session, error)
	// Session returns one, or nil.
	Session(ctx context.Context, id string) (*Session, error)
	// Order carries out join, leave or close for a principal or a session.
	Order(ctx context.Context, o Order) (Pushed, error)
	// Group returns what is known of a group on all nodes.
	Group(ctx context.Context, name string) (Group, error)
	Nodes(ctx context.Context) ([]Node, error)
	// Stats returns counters that become JSON.
	Stats() any
	// Refresh prolongs the sessions of the token's principal until it expires.
	// Its error is *Denied for a token that is not accepted, or wraps ErrConflict.
	Refresh(ctx context.Context, token string) (Refreshed, error)
	// Reload reads the configuration again. Its error is Faults, or wraps
	// ErrConflict, and then nothing has changed.
	Reload(ctx context.Context) (Reloaded, error)
}

// Push is a message for a target.
type Push struct {
	To       string
	Data     []byte
	Opcode   string // text or binary
	Priority string // high, medium or low
	TTL      time.Duration
	ID       string
}

// Pushed is what became of a push or an order for one target.
type Pushed struct {
	To        string `json:"to"`
	Result    string `json:"result"`            // delivered, forwarded, spread, duplicate, offline, full, expired or failed
	Delivered int    `json:"delivered"`         // sessions of this node whose socket has it
	Forwarded int    `json:"forwarded"`         // other nodes that were given it
	Offline   int    `json:"offline,omitempty"` // sessions of this node that had gone
	Full      int    `json:"full,omitempty"`    // sessions of this node that had no room
}

// Order changes something about the sessions of a principal, or one session.
type Order struct {
	Do    string // join, leave or close
	To    string
	Group string
}

// Session is one session.
type Session struct {
	ID        string    `json:"id"`
	Principal string    `json:"principal"`
	Node      string    `json:"node"`
	Epoch     uint64    `json:"epoch"`
	Since     time.Time `json:"since"`
}

// Group is what is known of a group.
type Group struct {
	Name    string        `json:"name"`
	Members int           `json:"members"` // sessions, on all nodes
	Nodes   []GroupOnNode `json:"nodes"`
}

// GroupOnNode is a group's part on one node.
type GroupOnNode struct {
	Node    string `json:"node"`
	Members int    `json:"members"`
}

// Node is a gateway process.
type Node struct {
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"` // 16 hexadecimal digits
	Sessions    int    `json:"sessions"`
	API         string `json:"api,omitempty"`
	Alive       bool   `json:"alive"`
}

// V1Config says who may use /v1 and how much.
type V1Config struct {
	Token         string // empty: everybody who can reach the address
	BroadcastRate int    // broadcasts per second

	// Follow begins to trace a request and returns it with what ends that;
	// name is the operation's. nil traces none.
	Follow func(r *http.Request, name string) (_ *http.Request, end func())
}

// openAPI describes what HandleV1 serves; a test compares the two.
//
//go:embed openapi.json
var openAPI []byte

// v1 serves the requests under /v1.
type v1 struct {
	node       V1
	broadcasts *rate.Limiter // its limit is what BroadcastRate says
}

// route is one operation of /v1.
type route struct {
	pattern string
	handler http.HandlerFunc
}

func (v *v1) routes() []route {
	return []route{
		{"POST /v1/push", v.push},
		{"POST /v1/broadcast", v.broadcast},
		{"GET /v1/users/{user...}", v.user},
		{"DELETE /v1/users/{user...}", v.endUser},
		{"GET /v1/sessions/{session}", v.session},
		{"DELETE /v1/sessions/{session}", v.endSession},
		{"GET /v1/groups/{group}", v.group},
		{"PUT /v1/groups/{group}/members/{user...}", v.join},
		{"DELETE /v1/groups/{group}/members/{user...}", v.leave},
		{"GET /v1/nodes", v.nodes},
		{"GET /v1/stats", v.stats},
		{"POST /v1/refresh", v.refresh},
		{"POST /v1/reload", v.reload},
		{"GET /v1/openapi.json", v.describe},
	}
}

// HandleV1 adds the operations of openapi.json.
func (s *Server) HandleV1(node V1, c V1Config) {
	v := &v1{node: node, broadcasts: s.broadcasts}
	s.TuneV1(c)
	for _, r := range v.routes() {
		s.Handle(r.pattern, followed(r, c.Follow))
	}
}

// TuneV1 replaces what HandleV1 was given, also while requests are served.
func (s *Server) TuneV1(c V1Config) {
	s.token.Store(tokenHash(c.Token))
	s.broadcasts.SetBurst(max(c.BroadcastRate, 1))
	s.broadcasts.SetLimit(rate.Limit(c.BroadcastRate))
}

func (v *v1) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI)
}

// tokenHash is what the server keeps of a token, so that comparing takes the
// same time whatever is compared; nil for no token.
func tokenHash(token string) *[sha256.Size]byte {
	if token == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(token))
	return &sum
}

// admit reports whether a request may be served, and answers those that may
// not. The probes need no token: load balancers and kubelets have none.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	want := s.token.Load()
	if want == nil || !guarded(r.URL.Path) {
		return true
	}
	if carries(r, want) {
		return true
	}
	// RFC 6750, section 3.1: a request without a token is told no error.
	challenge, problem := `Bearer realm="limpet"`, "a bearer token is required (api-token)"
	if r.Header.Get("Authorization") != "" {
		challenge, problem = challenge+`, error="invalid_token"`, "the bearer token is not this gateway's api-token"
	}
	w.Header().Set("WWW-Authenticate", challenge)
	hearNoMore(w, r)
	WriteProblem(w, http.StatusUnauthorized, problem)
	return false
}

// hearNoMore ends the connection after the answer to a request with a body:
// net/http would read the rest first, and wait for it as long as for any other.
func hearNoMore(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
}

// carries reports whether r has the token whose hash is want.
func carries(r *http.Request, want *[sha256.Size]byte) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(given)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// followed is the handler of r, traced by follow.
func followed(r route, follow func(*http.Request, string) (*http.Request, func())) http.Handler {
	if follow == nil {
		return r.handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		request, end := follow(request, r.pattern)
		defer end()
		r.handler(w, request)
	})
}
