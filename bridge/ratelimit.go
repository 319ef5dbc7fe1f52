package bridge

import (
	"errors"
	"fmt"
	"slices"
	"sync"
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
	start   time.Time
	top     [topSize]atomic.Pointer[midTable]
	refused atomic.Uint64
	node    atomic.Pointer[nodeRates] // replaced by SetLimits
	prices  atomic.Pointer[[]price]   // 0 has nothing of its own; copied to add
	mu      sync.Mutex                // held to add to prices, for a few microseconds
}

// nodeRates are those of sessions that have none of their own. They are not
// changed.
type nodeRates struct {
	price
	burst int64 // nanoseconds
}

// price is what a message takes of its rates; 0 where there is no limit, and in
// that of a session where the node's counts.
type price struct {
	perMessage int64 // nanoseconds
	perByte    int64 // 1/1024 nanoseconds
}

// maxPrices bounds how many different rates sessions may have of their own.
const maxPrices = 1024

func priceOf(messages, bytes int) (c price) {
	if messages > 0 {
		c.perMessage = int64(time.Second) / int64(messages)
	}
	if bytes > 0 {
		c.perByte = max(int64(time.Second)*1024/int64(bytes), 1)
	}
	return c
}

// A slot's 32 bits are split three ways, 8, 12 and 12, so that one session
// prices a path of 2 KiB + 32 KiB + 96 KiB at most, and a full table nothing
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
	price           uint32 // which of Limiter.prices
	messages, bytes int64  // nanoseconds since Limiter.start
}

// NewLimiter returns a limiter of sessions that are held to l, unless Assign
// gives them rates of their own. Where l limits nothing and nobody has rates of
// its own it keeps nothing.
func NewLimiter(l RateLimits) *Limiter {
	limiter := &Limiter{start: time.Now()}
	limiter.prices.Store(&[]price{{}})
	limiter.SetLimits(l)
	return limiter
}

// SetLimits replaces the node's rates, also for sessions that are there; what
// they have of their own stays. Any goroutine.
func (l *Limiter) SetLimits(limits RateLimits) {
	if limits.Burst == 0 {
		limits.Burst = defaultBurst
	}
	l.node.Store(&nodeRates{priceOf(limits.Messages, limits.Bytes), int64(limits.Burst)})
}

// Assign holds a session to rates of its own; a rate of 0 is the node's. It may
// be called on the loop that owns the session only. It returns false, and has
// changed nothing, when the sessions have too many different rates.
func (l *Limiter) Assign(id session.ID, messages, bytes int) bool {
	n, ok := l.priceNumber(priceOf(messages, bytes))
	if ok {
		l.bucket(id).price = n
	}
	return ok
}

func (l *Limiter) priceNumber(c price) (uint32, bool) {
	if i := slices.Index(*l.prices.Load(), c); i >= 0 {
		return uint32(i), true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known := *l.prices.Load()
	i := slices.Index(known, c)
	if i < 0 {
		if len(known) == maxPrices {
			return 0, false
		}
		i = len(known)
		all := append(slices.Clone(known), c)
		l.prices.Store(&all)
	}
	return uint32(i), true
}

// Allow reports whether a session may send n bytes at now, and counts them. It
// may be called on the loop that owns the session only; a nil limiter allows
// everything.
func (l *Limiter) Allow(id session.ID, n int, now time.Time) bool {
	if l == nil {
		return true
	}
	prices, node := *l.prices.Load(), l.node.Load()
	if len(prices) == 1 && node.price == (price{}) {
		return true
	}
	b := l.bucket(id)
	c := prices[b.price]
	if c.perMessage == 0 {
		c.perMessage = node.perMessage
	}
	if c.perByte == 0 {
		c.perByte = node.perByte
	}
	at := int64(now.Sub(l.start))
	messages, bytes := max(b.messages, at), max(b.bytes, at)
	messages += c.perMessage
	bytes += int64(n) * c.perByte / 1024
	if messages-at > max(node.burst, c.perMessage) || bytes-at > node.burst && b.bytes > at {
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
