package gateway

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/wsproto"
)

// Limits of a Watch.
const (
	MaxWatched      = 16               // principals at a time
	MaxWatchTime    = time.Hour        // of one
	DefaultWatch    = 10 * time.Minute // where nothing else is said
	MaxWatchPayload = 1024             // bytes of a payload in a record
	watchRate       = 20               // records a second of one principal
	watchBurst      = 100
)

// ErrTooManyWatched is returned by Watch.Add.
var ErrTooManyWatched = errors.New("as many principals are watched as may be: end one, or wait")

// Watch logs what happens to the sessions of a few principals that somebody
// has asked to see. It stands between the reactor and the gateway. While nobody
// is watched it costs an atomic load for each event; otherwise also a look at
// the table. Its own methods may be called from any goroutine.
type Watch struct {
	reactor.Handler
	table *registry.Table
	log   *slog.Logger

	now atomic.Pointer[map[string]*watched] // by principal, never changed; nil: nobody

	mu sync.Mutex // held to replace the map
}

type watched struct {
	until      time.Time
	payload    int
	limiter    *rate.Limiter
	suppressed atomic.Uint64
	end        *time.Timer
}

// Watched is a principal that is being watched.
type Watched struct {
	Principal string    `json:"principal"`
	Until     time.Time `json:"until"`
	Payload   int       `json:"payload"` // bytes of each payload that are shown
}

// NewWatch puts a watch before inner. log should write whatever the level is.
func NewWatch(inner reactor.Handler, table *registry.Table, log *slog.Logger) *Watch {
	return &Watch{Handler: inner, table: table, log: log}
}

// Add watches a principal for a time, or goes on doing so. It fails with
// ErrTooManyWatched.
func (w *Watch) Add(principal string, d time.Duration, payload int) (Watched, error) {
	d, payload = min(d, MaxWatchTime), min(payload, MaxWatchPayload)
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.copyLocked()
	if old := next[principal]; old != nil {
		old.end.Stop()
	} else if len(next) >= MaxWatched {
		return Watched{}, ErrTooManyWatched
	}
	entry := &watched{until: time.Now().Add(d), payload: payload, limiter: rate.NewLimiter(watchRate, watchBurst)}
	entry.end = time.AfterFunc(d, func() { w.expire(principal, entry) })
	next[principal] = entry
	w.now.Store(&next)
	return Watched{principal, entry.until, payload}, nil
}

// Remove watches a principal no longer, and reports whether it did.
func (w *Watch) Remove(principal string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.copyLocked()
	entry := next[principal]
	if entry == nil {
		return false
	}
	entry.end.Stop()
	w.withoutLocked(next, principal)
	return true
}

func (w *Watch) expire(principal string, entry *watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if next := w.copyLocked(); next[principal] == entry { // not added again meanwhile
		w.withoutLocked(next, principal)
	}
}

// List returns who is watched, by name.
func (w *Watch) List() []Watched {
	all := []Watched{}
	if now := w.now.Load(); now != nil {
		for _, name := range slices.Sorted(maps.Keys(*now)) {
			all = append(all, Watched{name, (*now)[name].until, (*now)[name].payload})
		}
	}
	return all
}

func (w *Watch) copyLocked() map[string]*watched {
	if now := w.now.Load(); now != nil {
		return maps.Clone(*now)
	}
	return map[string]*watched{}
}

func (w *Watch) withoutLocked(next map[string]*watched, principal string) {
	delete(next, principal)
	if len(next) == 0 {
		w.now.Store(nil)
		return
	}
	w.now.Store(&next)
}

// of returns the watch over the owner of a table entry, or nil.
func (w *Watch) of(ref uint32) *watched {
	now := w.now.Load()
	if now == nil || ref == 0 { // 0: nobody has a table entry yet
		return nil
	}
	var name [session.MaxName]byte
	return (*now)[string(w.table.AppendPrincipal(name[:0], registry.Ref(ref)))]
}

// record logs, within the rate.
func (w *Watch) record(entry *watched, ref uint32, id session.ID, what string, attrs ...any) {
	if !entry.limiter.Allow() {
		entry.suppressed.Add(1)
		return
	}
	attrs = append([]any{"principal", string(w.table.AppendPrincipal(nil, registry.Ref(ref))), "session", id}, attrs...)
	if n := entry.suppressed.Swap(0); n > 0 {
		attrs = append(attrs, "suppressed", n)
	}
	w.log.Debug(what, attrs...)
}

// Open implements reactor.Handler.
func (w *Watch) Open(o *reactor.Opening) *wsproto.Refusal {
	refusal := w.Handler.Open(o)
	if refusal == nil {
		if entry := w.of(o.Ref); entry != nil {
			w.record(entry, o.Ref, o.ID, "watched: session opened", "remote", o.Remote.String())
		}
	}
	return refusal
}

// Message implements reactor.Handler.
func (w *Watch) Message(s reactor.Session, op session.Opcode, payload []byte) {
	if entry := w.of(s.Ref()); entry != nil {
		attrs := []any{"opcode", op.String(), "bytes", len(payload)}
		if n := min(entry.payload, len(payload)); n > 0 {
			attrs = append(attrs, "payload", string(payload[:n]))
		}
		w.record(entry, s.Ref(), s.ID(), "watched: message received", attrs...)
	}
	w.Handler.Message(s, op, payload)
}

// Close implements reactor.Handler.
func (w *Watch) Close(s reactor.Session, reason session.CloseReason) {
	if entry := w.of(s.Ref()); entry != nil {
		w.record(entry, s.Ref(), s.ID(), "watched: session ended", "reason", reason.String(), "idle", s.Idle())
	}
	w.Handler.Close(s, reason)
}
