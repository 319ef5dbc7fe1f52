package bridge

import (
	"hash/maphash"
	"sync"
	"time"
)

// Defaults of the window in which duplicates are recognised.
const (
	DefaultDedupWindow  = 2 * time.Minute
	DefaultDedupEntries = 1 << 17
)

// dedupKey is a hash of 128 bits: two different pushes are taken for one with
// a probability of 2^-128 for each pair, which is never.
type dedupKey [2]uint64

// dedup remembers what was delivered, for at least a window and at most twice
// that, in two generations of which the older is forgotten as a whole. With
// more than entries in half of a window it forgets earlier: memory is bounded
// before duplicates are. An entry takes about 40 bytes.
type dedup struct {
	seeds   [2]maphash.Seed // fixed
	window  time.Duration   // fixed
	entries int             // fixed: of one generation

	mu      sync.Mutex
	young   map[dedupKey]struct{}
	old     map[dedupKey]struct{}
	started time.Time // of young
}

func newDedup(window time.Duration, entries int) *dedup {
	return &dedup{
		seeds:  [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		window: window, entries: max(entries/2, 1),
		young: map[dedupKey]struct{}{},
	}
}

// key returns what p is recognised by, or false when nothing recognises it.
func (d *dedup) key(p *Push) (dedupKey, bool) {
	name, kind := p.ID, byte('i')
	if name == "" {
		name, kind = p.origin, 'o'
	}
	if name == "" {
		return dedupKey{}, false
	}
	var key dedupKey
	for i, seed := range d.seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		_ = h.WriteByte(kind)
		_, _ = h.WriteString(name)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(p.To.String())
		key[i] = h.Sum64()
	}
	return key, true
}

// enter notes key and reports whether it is new.
func (d *dedup) enter(key dedupKey, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if age := now.Sub(d.started); age >= d.window || len(d.young) >= d.entries {
		d.old = d.young
		if age >= 2*d.window {
			d.old = nil
		}
		d.young, d.started = map[dedupKey]struct{}{}, now
	}
	if _, ok := d.young[key]; ok {
		return false
	}
	if _, ok := d.old[key]; ok {
		return false
	}
	d.young[key] = struct{}{}
	return true
}

// forget takes key back: the push was not delivered after all.
func (d *dedup) forget(key dedupKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.young, key)
	delete(d.old, key)
}
