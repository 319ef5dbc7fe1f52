package admission

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of connections. Zero values mean no limit.
type Limits struct {
	Rate        int // new connections of the node per second; a second's worth may come at once
	SourceConns int // connections at a time of one source
	SourceRate  int // new connections of one source per second
	SourceBurst int // how many of them may come at once; 0 is one second's worth
}

const maxLimit = 1 << 24

// Validate reports every fault of l at once.
func (l Limits) Validate() error {
	var faults []error
	for _, n := range []struct {
		name string
		v    int
	}{{"rate", l.Rate}, {"connections of a source", l.SourceConns}, {"rate of a source", l.SourceRate}, {"burst of a source", l.SourceBurst}} {
		if n.v < 0 || n.v > maxLimit {
			faults = append(faults, fmt.Errorf("%s %d: want 0 to %d", n.name, n.v, maxLimit))
		}
	}
	return errors.Join(faults...)
}

// ways is how many places a source may take; sets of them spread over shards.
const (
	ways      = 8
	shardBits = 6
	sets      = 1 << 7 // of a shard: 64 x 128 x 8 places are 65,536, 1.5 MiB
)

// Places is how many sources the table can hold.
const Places = ways * sets << shardBits

// place is one source, 24 bytes.
type place struct {
	key   uint64 // hash of the source, 0 for nobody
	free  int64  // when its bucket will be full again, nanoseconds since Table.start
	conns uint32
}

// Table counts connections by where they come from. Its methods may be called
// from any goroutine.
type Table struct {
	start  time.Time
	seed   maphash.Seed // keeps attackers from choosing addresses that share places
	limits atomic.Pointer[Limits]
	free   atomic.Int64 // when the node's bucket will be full again

	shards atomic.Pointer[[1 << shardBits]*shard] // nil until a source has a limit

	refused struct{ node, conns, rate atomic.Uint64 }
	missed  atomic.Uint64
}

type shard struct {
	mu   sync.Mutex
	sets [sets][ways]place
}

// Stats is what a Table has done and holds. Counts only grow.
type Stats struct {
	RefusedRate        uint64 // beyond the rate of the node
	RefusedSourceConns uint64
	RefusedSourceRate  uint64
	Uncounted          uint64 // let in although there was no place to count them
	Sources            int    // that have connections, now
}

// NewTable returns a table. It panics on Limits that Validate refuses. Its places
// are allocated with the first limit of a source, and stay.
func NewTable(l Limits) *Table {
	t := &Table{start: time.Now(), seed: maphash.MakeSeed()}
	t.SetLimits(l)
	return t
}

// SetLimits replaces the limits. Connections that are there stay; those that
// came while no source had a limit are not counted.
func (t *Table) SetLimits(l Limits) {
	if err := l.Validate(); err != nil {
		panic("admission: " + err.Error())
	}
	if l.SourceBurst == 0 {
		l.SourceBurst = l.SourceRate
	}
	if l.ofSource() && t.shards.Load() == nil {
		shards := new([1 << shardBits]*shard)
		for i := range shards {
			shards[i] = new(shard)
		}
		t.shards.CompareAndSwap(nil, shards)
	}
	t.limits.Store(&l) // after the places, which Admit looks for where there is a limit
}

// ofSource reports whether sources are looked at.
func (l *Limits) ofSource() bool { return l.SourceConns > 0 || l.SourceRate > 0 }

// Source names the source that addr belongs to: never 0, and the same as long
// as the table is there. Two sources of one name would share their limits,
// which nobody can bring about without the seed.
func (t *Table) Source(addr netip.Addr) uint64 {
	addr = addr.Unmap()
	b := addr.As16()
	n := len(b)
	if addr.Is6() {
		n = 8 // the /64
	}
	return maphash.Bytes(t.seed, b[:n]) | 1
}

// Admit takes in a new connection from a source, or says with which status to
// refuse it and when to come back. Where counted is true, Leave must follow
// when the connection has ended; it never is with a refusal.
func (t *Table) Admit(source uint64) (counted bool, status int, retryAfter time.Duration) {
	return t.admit(source, int64(time.Since(t.start)))
}

func (t *Table) admit(source uint64, now int64) (counted bool, status int, retryAfter time.Duration) {
	l := t.limits.Load()
	if l.ofSource() {
		if counted, retryAfter = t.admitSource(l, source, now); retryAfter > 0 {
			return false, http.StatusTooManyRequests, retryAfter
		}
	}
	if wait := t.admitNode(l, now); wait > 0 {
		if counted {
			t.Leave(source)
		}
		return false, http.StatusServiceUnavailable, wait
	}
	return counted, 0, 0
}

// admitNode takes one from the node's bucket, or says when there will be one.
// The bucket is one time, at which it will be full again (GCRA, ITU-T I.371).
func (t *Table) admitNode(l *Limits, now int64) (wait time.Duration) {
	if l.Rate == 0 {
		return 0
	}
	each := int64(time.Second) / int64(l.Rate)
	for {
		free := t.free.Load()
		next := max(free, now) + each
		if over := next - now - int64(time.Second); over > 0 {
			t.refused.node.Add(1)
			return time.Duration(over)
		}
		if t.free.CompareAndSwap(free, next) {
			return 0
		}
	}
}

// connsRetry is the hint to a source that has all the connections it may
// have: nobody knows when one ends.
const connsRetry = 10 * time.Second

func (t *Table) admitSource(l *Limits, key uint64, now int64) (counted bool, wait time.Duration) {
	s, set := t.set(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := takePlace(set, key, now)
	if p == nil {
		t.missed.Add(1)
		return false, 0
	}
	if l.SourceConns > 0 && int(p.conns) >= l.SourceConns {
		t.refused.conns.Add(1)
		return false, connsRetry
	}
	if l.SourceRate > 0 {
		each := int64(time.Second) / int64(l.SourceRate)
		full := int64(l.SourceBurst) * each      // that an empty bucket takes
		p.free = min(max(p.free, now), now+full) // a slower rate may have been replaced
		next := p.free + each
		if over := next - now - full; over > 0 {
			t.refused.rate.Add(1)
			return false, time.Duration(over)
		}
		p.free = next
	}
	p.conns++
	return true, 0
}

// takePlace finds the place of key in its set, or gives it one: an empty one,
// or that of the source without connections whose bucket is fullest. nil means
// that all have connections.
func takePlace(set *[ways]place, key uint64, now int64) *place {
	var spare *place
	for i := range set {
		p := &set[i]
		if p.key == key {
			return p
		}
		if p.conns == 0 && (spare == nil || p.free < spare.free) {
			spare = p
		}
	}
	if spare != nil {
		*spare = place{key: key, free: now}
	}
	return spare
}

// Leave tells that a connection of source that was counted has ended.
func (t *Table) Leave(source uint64) {
	s, set := t.set(source)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range set {
		if p := &set[i]; p.key == source && p.conns > 0 {
			p.conns--
			return
		}
	}
	panic("admission: a source leaves that was not counted")
}

func (t *Table) set(key uint64) (*shard, *[ways]place) {
	s := t.shards.Load()[key>>(64-shardBits)]
	return s, &s.sets[key>>(64-shardBits-7)%sets]
}

// Stats returns what the table has done and holds. It looks at every place.
func (t *Table) Stats() Stats {
	stats := Stats{
		RefusedRate: t.refused.node.Load(), RefusedSourceConns: t.refused.conns.Load(), RefusedSourceRate: t.refused.rate.Load(),
		Uncounted: t.missed.Load(),
	}
	shards := t.shards.Load()
	if shards == nil {
		return stats
	}
	for _, s := range shards {
		s.mu.Lock()
		for i := range s.sets {
			for _, p := range s.sets[i] {
				if p.conns > 0 {
					stats.Sources++
				}
			}
		}
		s.mu.Unlock()
	}
	return stats
}
