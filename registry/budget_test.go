package registry

import (
	"fmt"
	"runtime"
	"testing"
	"unsafe"

	"github.com/limpet-gateway/limpet/internal/session"
)

// What the registry may cost, in bytes of heap.
const (
	budgetPerSession    = 60 // with a 12-byte principal, everything included
	budgetPerMembership = 16 // in groups of a hundred
)

// heapAlloc is the live heap after a full collection.
func heapAlloc() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func fill(t testing.TB, table *Table, n int) []Ref {
	refs := make([]Ref, n)
	principal := make([]byte, 0, 12)
	for i := range refs {
		principal = fmt.Appendf(principal[:0], "user%08d", i)
		added, err := table.Add(principal, id(uint32(i)))
		if err != nil {
			t.Fatal(err)
		}
		refs[i] = added.Ref
	}
	return refs
}

func perSession(t testing.TB, n int) float64 {
	refs := make([]Ref, n)
	before := heapAlloc()
	table := newTestTable(1)
	copy(refs, fill(t, table, n))
	cost := float64(heapAlloc()-before) / float64(n)
	runtime.KeepAlive(refs)
	runtime.KeepAlive(table)
	return cost
}

func perMembership(t testing.TB, n, groupSize int) float64 {
	table := newTestTable(1)
	refs := fill(t, table, n)
	before := heapAlloc()
	joinAll(t, table, refs, groupSize)
	cost := float64(heapAlloc()-before) / float64(n)
	runtime.KeepAlive(refs)
	runtime.KeepAlive(table)
	return cost
}

func joinAll(t testing.TB, table *Table, refs []Ref, groupSize int) {
	group := make([]byte, 0, 16)
	for i, ref := range refs {
		group = fmt.Appendf(group[:0], "room%06d", i/groupSize)
		if err := table.Join(ref, group); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMemoryBudget measures the real heap at populations that catch the index
// at different fillings, just after and just before a wave of splits.
func TestMemoryBudget(t *testing.T) {
	for _, n := range []int{150_000, 200_000, 280_000, 330_000} {
		if cost := perSession(t, n); cost > budgetPerSession {
			t.Errorf("%d sessions: %.1f B each, budget %d", n, cost, budgetPerSession)
		} else {
			t.Logf("%d sessions: %.1f B each", n, cost)
		}
	}
	if cost := perMembership(t, 200_000, 100); cost > budgetPerMembership {
		t.Errorf("a membership costs %.1f B, budget %d", cost, budgetPerMembership)
	} else {
		t.Logf("a membership costs %.1f B", cost)
	}
}

func TestSizesOfPieces(t *testing.T) {
	for name, size := range map[string][2]uintptr{
		"segment":    {unsafe.Sizeof(segment{}), 2048},
		"page":       {unsafe.Sizeof(page{}), 112},
		"page chunk": {unsafe.Sizeof([chunkPages]page{}), 8192},
		"Ref":        {unsafe.Sizeof(Ref(0)), 4},
	} {
		if size[0] > size[1] {
			t.Errorf("%s has %d bytes, want at most %d", name, size[0], size[1])
		}
	}
}

// TestChurnDoesNotLeak replaces the whole population many times, with names of
// changing lengths, and expects the heap to stay where it was.
func TestChurnDoesNotLeak(t *testing.T) {
	table := newTestTable(1)
	const n, rounds = 20_000, 20
	refs := make([]Ref, n)
	groups := [2]string{"room-with-a-long-name-%d", "r%d"}
	churn := func(round int) {
		for i := range refs {
			if refs[i] != 0 {
				table.Remove(refs[i])
			}
			// Lengths 8 to 71, each as frequent in one round as in the next.
			principal := fmt.Sprintf("%08d%.*s", round%7*n+i, i%64, longName)
			refs[i] = mustAdd(t, table, principal, uint32(i)).Ref
			if err := table.Join(refs[i], fmt.Appendf(nil, groups[round%2], i/50)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range 4 {
		churn(round)
	}
	before := heapAlloc()
	for round := range rounds {
		churn(round)
	}
	if after := heapAlloc(); after > before+before/20 {
		t.Errorf("heap went from %d to %d B over %d rounds of churn", before, after, rounds)
	}
	for _, ref := range refs {
		table.Remove(ref)
	}
	kept := 0
	for i := range table.shards {
		kept += len(table.shards[i].arena.chunks)
	}
	if kept > len(table.shards) {
		t.Errorf("an emptied table keeps %d chunks", kept)
	}
	runtime.KeepAlive(table)
}

// What the table says it holds is what it takes from the heap.
func TestBytesAreThoseOfTheHeap(t *testing.T) {
	before := heapAlloc()
	table := newTestTable(1)
	empty := table.Bytes()
	refs := fill(t, table, 100_000)
	joinAll(t, table, refs, 1000)
	took, says := int(heapAlloc()-before), table.Bytes()
	refsBytes := 4 * cap(refs)
	if took -= refsBytes; says < took*9/10 || says > took*11/10 {
		t.Errorf("the table says it holds %d B; the heap grew by %d", says, took)
	}
	for _, ref := range refs {
		table.Remove(ref)
	}
	if kept := table.Bytes(); kept > says/10 || empty != 0 {
		t.Errorf("%d B before the first session, %d at most, %d after the last", empty, says, kept)
	}
}

const longName = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnop"

func TestHotPathsDoNotAllocate(t *testing.T) {
	table := newTestTable(1)
	refs := fill(t, table, 1000)
	joinAll(t, table, refs, 1000)
	principal, group, other := []byte("user00000500"), []byte("room000000"), []byte("other")
	ids := make([]session.ID, 0, 1000)
	name := make([]byte, 0, session.MaxName)
	for what, f := range map[string]func(){
		"AppendSessions":  func() { ids = table.AppendSessions(ids[:0], principal) },
		"AppendGroup":     func() { ids = table.AppendGroup(ids[:0], group) },
		"AppendPrincipal": func() { name = table.AppendPrincipal(name[:0], refs[7]) },
		"Join and Leave":  func() { _ = table.Join(refs[7], other); table.Leave(refs[7], other) },
		"Remove and Add": func() {
			table.Remove(refs[500])
			added, _ := table.Add(principal, id(500))
			refs[500] = added.Ref
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %.1f times", what, n)
		}
	}
}
