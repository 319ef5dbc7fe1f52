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
	s := newSlab(3)
	a := s.take(nil)
	a.state = open
	slot, gen := a.slot, a.gen
	if slot>>indexBits != 3 {
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

func TestSlabGenerationSkipsZero(t *testing.T) {
	s := newSlab(0)
	c := s.take(nil)
	c.gen = ^uint32(0)
	s.put(c)
	if c = s.take(nil); c.gen != 1 {
		t.Fatalf("generation after the last is %d, want 1: 0 is no session", c.gen)
	}
}

func TestSlabFindUnknown(t *testing.T) {
	s := newSlab(0)
	for _, slot := range []uint32{0, 5, chunkSize, indexMask} {
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
	s := newSlab(1)
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
	s := newSlab(0)
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
