package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// recent remembers denials for a time. It holds two generations: the older is
// dropped when the newer is full or its time is over. So it is bounded however
// many different questions an attacker asks, and dropping costs nothing.
type recent struct {
	size int           // of one generation
	keep time.Duration // 0 remembers nothing

	mu       sync.Mutex
	newer    map[[sha256.Size]byte]denialAt
	older    map[[sha256.Size]byte]denialAt
	rotation time.Time
}

type denialAt struct {
	status int
	until  time.Time
}

func newRecent(size int, keep time.Duration) *recent { return &recent{size: size, keep: keep} }

func (r *recent) get(key [sha256.Size]byte) (status int, ok bool) {
	if r.keep == 0 {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.newer[key]
	if !ok {
		d, ok = r.older[key]
	}
	return d.status, ok && time.Now().Before(d.until)
}

func (r *recent) put(key [sha256.Size]byte, status int) {
	if r.keep == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.newer == nil || len(r.newer) >= r.size || now.Sub(r.rotation) > r.keep {
		r.older, r.newer, r.rotation = r.newer, map[[sha256.Size]byte]denialAt{}, now
	}
	r.newer[key] = denialAt{status, now.Add(r.keep)}
}
