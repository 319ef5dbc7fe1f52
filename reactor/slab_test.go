package reactor

import (
	"testing"
	"unsafe"
)

// The budget of an idle session is a promise; a field more is 200 KB more at
// 200,000 sessions.
func TestConnSize(t *testing.T) {
	if got := unsafe.Sizeof(conn{}); got != 48 {
		t.Errorf("a conn takes %d bytes, want 48", got)
	}
	if got := unsafe.Sizeof(waiting{}); got != 16 {
		t.Errorf("a waiting frame takes %d bytes, want 16", got)
	}
}

func TestSlabReusesSlotsWithANewGeneration(t *testing.T) {
	s := newSlab(3, numberingFor(4))
	a := s.take(nil)
	a.state = open
	slot, gen := a.slot, a.gen
	if s.loop(slot) != 3 {
		t.Fatalf("slot %#x does not name loop 3", slot)
	}
	if s.find(slot, gen) != a {
		t.Fatal("a live connection is not found")
	}
	s.put(a)
	if s.find(slot, gen) != nil {
		t.Fatal("a freed connection is found")
	}
	b := s.take(nil)
	b.state = open
	if b.slot != slot || b.gen == gen {
		t.Fatalf("got slot %#x generation %d after slot %#x generation %d", b.slot, b.gen, slot, gen)
	}
	if s.find(slot, gen) != nil {
		t.Fatal("the old id finds the next owner of the slot")
	}
}

// A slot number names its loop and its place, no two places share one, and
// numbers are small: the directory writes a million in three bytes each.
func TestSlabNumbers(t *testing.T) {
	const threeBytes = 1 << 21 // as a varint
	for _, loops := range []int{1, 2, 3, 4, 17, 60, maxLoops} {
		n := numberingFor(loops)
		places := (1_000_000/loops + placeMask) &^ placeMask
		for _, loop := range []int{0, loops / 2, loops - 1} {
			s := newSlab(loop, n)
			seen := make(map[uint32]bool, places)
			for i := range places {
				c := s.take(nil)
				c.state = open
				if seen[c.slot] || c.slot >= threeBytes || int(n.loop(c.slot)) != loop {
					t.Fatalf("%d loops: place %d of loop %d has slot %#x", loops, i, loop, c.slot)
				}
				seen[c.slot] = true
				if s.at(uint32(i)) != c || s.find(c.slot, c.gen) != c {
					t.Fatalf("%d loops: place %d of loop %d is not found by slot %#x", loops, i, loop, c.slot)
				}
			}
			if last := n.first(uint32(loops-1), maxChunks-1) + placeMask; last == noSlot || int(n.loop(last)) != loops-1 {
				t.Fatalf("%d loops: the last slot of the last is %#x", loops, last)
			}
		}
	}
}

func TestSlabGenerationSkipsZero(t *testing.T) {
	s := newSlab(0, numberingFor(1))
	c := s.take(nil)
	c.gen = ^uint32(0)
	s.put(c)
	if c = s.take(nil); c.gen != 1 {
		t.Fatalf("generation after the last is %d, want 1: 0 is no session", c.gen)
	}
}

func TestSlabFindUnknown(t *testing.T) {
	s := newSlab(0, numberingFor(1))
	for _, slot := range []uint32{0, 5, chunkSize, noSlot} {
		if s.find(slot, 0) != nil || s.find(slot, 1) != nil {
			t.Errorf("slot %d of an empty slab is found", slot)
		}
	}
	s.take(nil)
	if s.find(1, 0) != nil {
		t.Error("a place that was never used is found by generation 0")
	}
}

func TestSlabPointersStayValid(t *testing.T) {
	s := newSlab(1, numberingFor(2))
	var all []*conn
	for range 5 * chunkSize {
		c := s.take(nil)
		c.state = open
		all = append(all, c)
	}
	for i, c := range all {
		if s.bySlot(c.slot) != c || s.find(c.slot, c.gen) != c {
			t.Fatalf("connection %d moved", i)
		}
	}
	if s.used != len(all) {
		t.Fatalf("used = %d, want %d", s.used, len(all))
	}
}

// What a client behind a load balancer is called goes with the connection.
func TestSlabSource(t *testing.T) {
	s := newSlab(0, numberingFor(1))
	a, b := s.take(nil), s.take(nil)
	if s.source(a) != 0 || s.sources != 0 {
		t.Fatal("a connection has a source that nobody gave it")
	}
	s.setSource(a, 7)
	if s.source(a) != 7 || s.source(b) != 0 || s.sources != 1 {
		t.Errorf("sources %d and %d in %d chunks, want 7 and 0 in 1", s.source(a), s.source(b), s.sources)
	}
	s.put(a)
	if next := s.take(nil); next != a || s.source(next) != 0 {
		t.Error("the next owner of the slot has the source of the last one")
	}
	if size := unsafe.Sizeof(*s.chunks[0].source) / chunkSize; size != 8 {
		t.Errorf("a source takes %d bytes, want 8", size)
	}
}
