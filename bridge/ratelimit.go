package bridge

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// RateLimits bounds what one session may send. Zero rates mean no limit.
type RateLimits struct {
	Messages int           // per second
	Bytes    int           // of payload, per second
	Burst    time.Duration // how much of a rate may come at once; zero means 2 s
}

const (
	defaultBurst = 2 * time.Second
	maxRate      = 1 << 30
)

// Validate reports every fault of l at once.
func (l RateLimits) Validate() error {
	var faults []error
	if l.Messages < 0 || l.Messages > maxRate || l.Bytes < 0 || l.Bytes > maxRate {
		faults = append(faults, fmt.Errorf("rate limits %d messages/s and %d bytes/s: want 0 to %d", l.Messages, l.Bytes, maxRate))
	}
	if l.Burst < 0 || l.Burst > time.Hour {
		faults = append(faults, fmt.Errorf("burst %v: want 0 to 1h", l.Burst))
	}
	return errors.Join(faults...)
}

// Limiter keeps the rates of all sessions of a node, 24 bytes for each slot
// that has sent something, in leaves that are made when they are needed and
// never freed. It uses the virtual scheduling form of the leaky bucket (GCRA,
// ITU-T I.371): one time per limit, at which the bucket will be empty.
type Limiter struct {
	perMessage int64 // nanoseconds that one message takes of its rate
	perByte    int64 // 1/1024 nanoseconds that a byte takes
	burst      int64 // nanoseconds
	start      time.Time
	top        [topSize]atomic.Pointer[midTable]
	refused    atomic.Uint64
}

// A slot's 32 bits are split three ways, 8, 12 and 12, so that one session
// costs a path of 2 KiB + 32 KiB + 96 KiB at most, and a full table nothing
// beside its leaves.
const (
	topSize  = 1 << 8
	midSize  = 1 << 12
	leafSize = 1 << 12
)

type midTable [midSize]atomic.Pointer[leafTable]

type leafTable [leafSize]bucket

// bucket is touched only by the loop that owns the slot.
type bucket struct {
	generation      uint32
	messages, bytes int64 // nanoseconds since Limiter.start
}

// NewLimiter returns a limiter, or nil where l limits nothing.
func NewLimiter(l RateLimits) *Limiter {
	if l.Messages == 0 && l.Bytes == 0 {
		return nil
	}
	if l.Burst == 0 {
		l.Burst = defaultBurst
	}
	limiter := &Limiter{burst: int64(l.Burst), start: time.Now()}
	if l.Messages > 0 {
		limiter.perMessage = int64(time.Second) / int64(l.Messages)
	}
	if l.Bytes > 0 {
		limiter.perByte = max(int64(time.Second)*1024/int64(l.Bytes), 1)
	}
	return limiter
}

// Allow reports whether a session may send n bytes at now, and counts them. It
// may be called on the loop that owns the session only; a nil limiter allows
// everything.
func (l *Limiter) Allow(id session.ID, n int, now time.Time) bool {
	if l == nil {
		return true
	}
	b := l.bucket(id)
	at := int64(now.Sub(l.start))
	messages, bytes := max(b.messages, at), max(b.bytes, at)
	messages += l.perMessage
	bytes += int64(n) * l.perByte / 1024
	if messages-at > max(l.burst, l.perMessage) || bytes-at > l.burst && b.bytes > at {
		l.refused.Add(1)
		return false
	}
	b.messages, b.bytes = messages, bytes
	return true
}

// Refused is the number of messages that passed a limit.
func (l *Limiter) Refused() uint64 {
	if l == nil {
		return 0
	}
	return l.refused.Load()
}

// bucket returns that of id, emptied if a former owner of the slot left it.
func (l *Limiter) bucket(id session.ID) *bucket {
	mid := load(&l.top[id.Slot>>24])
	leaf := load(&mid[id.Slot>>12&(midSize-1)])
	b := &leaf[id.Slot&(leafSize-1)]
	if b.generation != id.Generation {
		*b = bucket{generation: id.Generation}
	}
	return b
}

// load returns what p points to, made if need be. Loops may race for it; one
// wins.
func load[T any](p *atomic.Pointer[T]) *T {
	if v := p.Load(); v != nil {
		return v
	}
	p.CompareAndSwap(nil, new(T))
	return p.Load()
}
