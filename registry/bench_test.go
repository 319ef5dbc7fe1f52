package registry

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/limpet-gateway/limpet/internal/session"
)

const million = 1_000_000

// BenchmarkBytesPerSession prints what a session and a membership cost in heap
// at a million; the time says how long filling takes.
func BenchmarkBytesPerSession(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(perSession(b, million), "B/session")
		b.ReportMetric(perMembership(b, million, 100), "B/membership")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLookup finds random principals among a million.
func BenchmarkLookup(b *testing.B) {
	table := newTestTable(1)
	fill(b, table, million)
	// The names lie in a row, so that fetching them costs no cache miss: those
	// of the table are what is measured.
	const n, length = 1 << 18, 12
	names := make([]byte, 0, n*length)
	for range n {
		names = fmt.Appendf(names, "user%08d", rand.IntN(million))
	}
	ids := make([]session.ID, 0, 1)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		at := i % n * length
		if ids = table.AppendSessions(ids[:0], names[at:at+length]); len(ids) != 1 {
			b.Fatal("not found")
		}
		i++
	}
}

// BenchmarkChurn ends one session and opens another among a million.
func BenchmarkChurn(b *testing.B) {
	table := newTestTable(1)
	refs := fill(b, table, million)
	principal := make([]byte, 0, 12)
	b.ReportAllocs()
	for b.Loop() {
		i := rand.IntN(million)
		table.Remove(refs[i])
		principal = fmt.Appendf(principal[:0], "user%08d", i)
		added, err := table.Add(principal, id(uint32(i)))
		if err != nil {
			b.Fatal(err)
		}
		refs[i] = added.Ref
	}
}

// BenchmarkGroup visits all members of groups of several sizes.
func BenchmarkGroup(b *testing.B) {
	for _, size := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			table := newTestTable(1)
			joinAll(b, table, fill(b, table, size), size)
			ids := make([]session.ID, 0, size)
			b.ReportAllocs()
			for b.Loop() {
				ids = table.AppendGroup(ids[:0], []byte("room000000"))
			}
			if len(ids) != size {
				b.Fatalf("%d members", len(ids))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/member")
		})
	}
}
