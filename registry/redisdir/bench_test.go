package redisdir

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// The benchmarks answer the questions that size a fleet. One node, one
// redis-server on the same host, default configuration. Principals have 12
// bytes; binding is measured with 11 as well, because Redis' memory follows
// their length byte by byte.
// Run them one at a time, each once:
//
//	go test -run '^$' -bench . -benchtime 1x ./registry/redisdir
const million = 1_000_000

func benchNode(b *testing.B, s *redistest.Server, queue int) *testNode {
	n := joinedNode(b, Config{URL: s.URL(), Node: "a", Expect: million, Queue: queue, Audit: -1}, 1)
	n.refs = nil // the bench keeps no list of what it opens
	return n
}

func benchName(i int) string { return fmt.Sprintf("user%08d", i) }

func fillNode(b *testing.B, n *testNode, names []string) {
	for i, name := range names {
		// Slots as a reactor gives them out: loops take chunks in turn, so they
		// stay as small as there are sessions.
		id := session.ID{Incarnation: n.table.Incarnation(), Slot: uint32(i), Generation: 1}
		if _, err := n.table.Add([]byte(name), id); err != nil {
			b.Fatal(err)
		}
	}
}

func benchNames() []string {
	names := make([]string, million)
	for i := range names {
		names[i] = benchName(i)
	}
	return names
}

// BenchmarkBindMillion: how fast does one node bind a million new sessions,
// and what do they cost in Redis?
func BenchmarkBindMillion(b *testing.B) {
	for _, digits := range []int{7, 8} {
		b.Run(fmt.Sprintf("principal=%dB", 4+digits), func(b *testing.B) { benchBind(b, digits) })
	}
}

func benchBind(b *testing.B, digits int) {
	names := make([]string, million)
	for i := range names {
		names[i] = fmt.Sprintf("user%0*d", digits, i)
	}
	for b.Loop() {
		b.StopTimer()
		s := redistest.Start(b)
		n := benchNode(b, s, 2*million)
		before := settledMemory(b, s)
		b.StartTimer()
		began := time.Now()
		fillNode(b, n, names)
		n.settledWithin(time.Minute)
		took := time.Since(began)
		b.ReportMetric(million/took.Seconds(), "binds/s")
		if stats := n.dir.Stats(); stats.Written != million || stats.Fails > 0 {
			b.Fatalf("%+v", stats)
		}
		b.ReportMetric(float64(settledMemory(b, s)-before)/million, "B/session")
		n.stop()
		s.Kill()
	}
}

// settledMemory is what Redis uses once it has given its buffers back and moved
// its keys to the table that fits them: when three readings agree.
func settledMemory(b *testing.B, s *redistest.Server) int {
	last, equal := s.UsedMemory(), 1
	eventually(b, 30*time.Second, func() string {
		time.Sleep(100 * time.Millisecond)
		if now := s.UsedMemory(); now != last {
			last, equal = now, 1
		} else {
			equal++
		}
		if equal < 3 {
			return fmt.Sprintf("Redis' memory does not settle: now %d bytes", last)
		}
		return ""
	})
	return last
}

// BenchmarkReregisterMillion: how long does a node with a million sessions
// need after Redis has come back empty, from the start of the resync to its
// end, at the default rate limit?
func BenchmarkReregisterMillion(b *testing.B) {
	names := benchNames()
	for b.Loop() {
		b.StopTimer()
		s := redistest.Start(b)
		n := benchNode(b, s, 2*million)
		fillNode(b, n, names)
		n.settledWithin(time.Minute)
		s.Kill()
		n.await(Degraded)
		resyncs := n.dir.Stats().Resyncs
		s.Restart()
		n.await(Recovering)
		b.StartTimer()
		began := time.Now()
		for n.dir.Stats().Resyncs == resyncs {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/million")
		b.StopTimer()
		agree(b, s.URL(), n)
		n.stop()
		s.Kill()
		b.StartTimer()
	}
}

// BenchmarkLookup: how many principals among a million does one node look up
// per second, 512 in a batch, one batch after the other?
func BenchmarkLookup(b *testing.B) {
	s := redistest.Start(b)
	n := benchNode(b, s, 2*million)
	fillNode(b, n, benchNames())
	n.settledWithin(time.Minute)
	const rounds = 1000
	batch := make([]string, lookupBatch)
	for b.Loop() {
		began, found := time.Now(), 0
		for range rounds {
			for i := range batch {
				batch[i] = benchName(rand.IntN(million))
			}
			if err := n.dir.Lookup(b.Context(), batch, func(int, Location) { found++ }); err != nil {
				b.Fatal(err)
			}
		}
		if found != rounds*lookupBatch {
			b.Fatalf("found %d of %d", found, rounds*lookupBatch)
		}
		b.ReportMetric(float64(found)/time.Since(began).Seconds(), "lookups/s")
	}
}

func (n *testNode) settledWithin(limit time.Duration) {
	n.t.Helper()
	eventually(n.t, limit, func() string {
		if w := n.dir.waiting(); w > 0 {
			return fmt.Sprintf("%d changes are not written", w)
		}
		return ""
	})
}
