package bridge

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/tracing"
)

// Limits of routing.
const (
	// DefaultGroupFanOut is the number of nodes up to which a push to a group
	// is forwarded to each of them; with more it is broadcast.
	DefaultGroupFanOut = 8

	// lookupTimeout bounds one question to the directory; pushes that waited
	// for it go to all nodes.
	lookupTimeout = 500 * time.Millisecond
)

// RouterConfig describes a router. Zero values mean the defaults.
type RouterConfig struct {
	Incarnation uint64 // of this node
	Local       Local
	Controller  Controller // nil: orders find nobody

	// Directory and Bus reach other nodes. Without them this node is alone:
	// what it does not have is offline.
	Directory Directory
	Bus       Bus

	DedupWindow  time.Duration // negative switches it off
	DedupEntries int
	GroupFanOut  int
	HandOff      time.Duration

	Tracer *tracing.Tracer // follows pushes that have a trace; nil follows none

	// OnUndelivered is told of a push that reached no session, once in the
	// cluster. It must not block. May be nil.
	OnUndelivered func(p *Push, why Undelivered)
	Logger        *slog.Logger
}

// Undelivered is why a push reached no session.
type Undelivered string

// The reasons.
const (
	BecauseExpired Undelivered = "expired" // its ttl was over
	BecauseOffline Undelivered = "offline" // no such session
	BecauseFull    Undelivered = "full"    // its loop had no room, or its session does not read
	BecauseFailed  Undelivered = "failed"  // the bus will not take it, for its size
)

// Result is what became of one push.
type Result struct {
	Outcome               // on this node
	Forwarded int         // other nodes that were given it
	Spread    bool        // it was given to all nodes
	Duplicate bool        // it had been delivered before
	Why       Undelivered // empty unless it went nowhere
}

// RouterStats is a snapshot of a router's counters.
type RouterStats struct {
	Delivered  uint64 `json:"delivered"` // sessions that a push was handed to
	Forwarded  uint64 `json:"forwarded"` // pushes given to another node
	Spread     uint64 `json:"spread"`    // pushes given to all nodes
	Blind      uint64 `json:"blind"`     // of those: because the directory could not say who is where
	Arrived    uint64 `json:"arrived"`   // pushes from the bus
	Moved      uint64 `json:"moved"`     // of those: forwarded once more, since the principal had moved
	Duplicates uint64 `json:"duplicates"`
	Expired    uint64 `json:"expired"`
	Offline    uint64 `json:"offline"`
	Full       uint64 `json:"full"`
	Failed     uint64 `json:"failed"`
}

// Router takes pushes to the sessions they are for, on this node and on
// others. Its methods may be called from any goroutine.
type Router struct {
	cfg   RouterConfig
	dedup *dedup // nil when switched off
	log   *slog.Logger

	directoryAway atomic.Bool // the last lookup failed

	origins atomic.Uint64 // numbers pushes that no record brought

	delivered, forwarded, spread, blind, arrived, moved, duplicates atomic.Uint64
	expired, offline, full, failed                                  atomic.Uint64
}

// NewRouter returns a router.
func NewRouter(cfg RouterConfig) (*Router, error) {
	if cfg.Local == nil {
		return nil, errors.New("router: nobody to deliver to")
	}
	if cfg.Bus != nil && cfg.Incarnation == 0 {
		return nil, errors.New("router: a node among others needs an incarnation")
	}
	if cfg.DedupWindow == 0 {
		cfg.DedupWindow = DefaultDedupWindow
	}
	if cfg.DedupEntries == 0 {
		cfg.DedupEntries = DefaultDedupEntries
	}
	if cfg.GroupFanOut == 0 {
		cfg.GroupFanOut = DefaultGroupFanOut
	}
	if cfg.HandOff == 0 {
		cfg.HandOff = defaultHandOff
	}
	if cfg.OnUndelivered == nil {
		cfg.OnUndelivered = func(*Push, Undelivered) {}
	}
	r := &Router{cfg: cfg, log: cfg.Logger}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if cfg.DedupWindow > 0 {
		r.dedup = newDedup(cfg.DedupWindow, cfg.DedupEntries)
	}
	return r, nil
}

// Stats may be called from any goroutine.
func (r *Router) Stats() RouterStats {
	return RouterStats{
		Delivered: r.delivered.Load(), Forwarded: r.forwarded.Load(), Spread: r.spread.Load(), Blind: r.blind.Load(),
		Arrived: r.arrived.Load(), Moved: r.moved.Load(), Duplicates: r.duplicates.Load(),
		Expired: r.expired.Load(), Offline: r.offline.Load(), Full: r.full.Load(), Failed: r.failed.Load(),
	}
}
