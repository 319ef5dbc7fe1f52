package registry

import (
	"bytes"
	"hash/maphash"
	"unsafe"
)

// index finds the block of a name: an extendible hash table whose segments
// are open-addressed with linear probing. A slot is 4 bytes:
//
//	31     26                           0
//	|  tag  |  first word of the block  |
//
// and 0 when empty. A segment that is four fifths full splits in two, so
// growing costs about 20 µs and 2 KiB at a time however large the table is: one
// table that doubled would stop its event loop for milliseconds and need three
// times its memory while it moves.
//
// Of the 64 bits of a hash the top 6 choose the shard, the next ones the
// segment, 6 more are the tag, and the low 32 the home slot.
type index struct {
	segments []*segment // 1<<depth entries; a segment of less depth appears several times
	count    int        // of different segments
	depth    uint8
	header   int // bytes of a block before its name
	seed     maphash.Seed
}

type segment struct {
	slots [segmentSlots]uint32
	used  uint16
	depth uint8 // leading hash bits that all its names share
}

const (
	segmentSlots = 510 // with used and depth 2,044 bytes: size class 2,048
	segmentMax   = segmentSlots * 4 / 5
	shardBits    = 6

	// maxDepth bounds the directory of segments to 256 Ki entries: 100 M names
	// in one shard, more than its arena holds.
	maxDepth = 18
)

func (x *index) hash(name []byte) uint64 { return maphash.Bytes(x.seed, name) }

func shardOf(h uint64) int { return int(h >> (64 - shardBits)) }

func tagOf(h uint64) uint32 { return uint32(h>>32) & (1<<(32-wordBits) - 1) }

func homeOf(h uint64) uint32 { return uint32(uint64(uint32(h)) * segmentSlots >> 32) }

func wordOf(slot uint32) uint32 { return slot & maxArenaWord }

func (x *index) segment(h uint64) *segment {
	if len(x.segments) == 0 {
		return nil
	}
	return x.segments[h<<shardBits>>(64-x.depth)]
}

// find returns the block of name, or 0.
func (x *index) find(a *arena, h uint64, name []byte) uint32 {
	s := x.segment(h)
	if s == nil {
		return 0
	}
	tag := tagOf(h)
	for p := homeOf(h); ; p = after(p) {
		slot := s.slots[p]
		if slot == 0 {
			return 0
		}
		if slot>>wordBits == tag && bytes.Equal(a.name(wordOf(slot), x.header), name) {
			return wordOf(slot)
		}
	}
}

// insert adds a block whose name is not there yet. It reports whether there
// was room, which fails only when more names than a segment holds agree in
// all the bits that maxDepth allows.
func (x *index) insert(a *arena, h uint64, word uint32) bool {
	if len(x.segments) == 0 {
		x.segments, x.count = []*segment{new(segment)}, 1
	}
	for {
		s := x.segment(h)
		if s.used < segmentMax {
			s.add(h, word)
			return true
		}
		if !x.split(a, h) {
			return false
		}
	}
}

func (s *segment) add(h uint64, word uint32) {
	p := homeOf(h)
	for s.slots[p] != 0 {
		p = after(p)
	}
	s.slots[p] = tagOf(h)<<wordBits | word
	s.used++
}

// replace lets the name of block old be found as block word instead.
func (x *index) replace(h uint64, old, word uint32) {
	s, p := x.locate(h, old)
	s.slots[p] = s.slots[p]&^maxArenaWord | word
}

// remove takes block word out. Slots behind it move up where their home
// allows, so there are no tombstones and a lookup ends at the first gap.
func (x *index) remove(a *arena, h uint64, word uint32) {
	s, gap := x.locate(h, word)
	for p := after(gap); s.slots[p] != 0; p = after(p) {
		home := homeOf(x.hash(a.name(wordOf(s.slots[p]), x.header)))
		if between(gap, home, p) {
			continue
		}
		s.slots[gap] = s.slots[p]
		gap = p
	}
	s.slots[gap] = 0
	s.used--
}

// locate returns the slot that holds block word, which must be there.
func (x *index) locate(h uint64, word uint32) (*segment, uint32) {
	s := x.segment(h)
	for p := homeOf(h); ; p = after(p) {
		switch {
		case wordOf(s.slots[p]) == word:
			return s, p
		case s.slots[p] == 0:
			panic("registry: block is not in its index")
		}
	}
}

// split divides the segment of h by one more bit of its hashes.
func (x *index) split(a *arena, h uint64) bool {
	old := x.segment(h)
	if old.depth == maxDepth {
		return false
	}
	if old.depth == x.depth {
		doubled := make([]*segment, 2*len(x.segments))
		for i, s := range x.segments {
			doubled[2*i], doubled[2*i+1] = s, s
		}
		x.segments, x.depth = doubled, x.depth+1
	}
	x.count++
	low := &segment{depth: old.depth + 1}
	high := &segment{depth: old.depth + 1}
	for _, slot := range old.slots {
		if slot == 0 {
			continue
		}
		moved := x.hash(a.name(wordOf(slot), x.header))
		if moved<<shardBits<<old.depth>>63 == 0 {
			low.add(moved, wordOf(slot))
		} else {
			high.add(moved, wordOf(slot))
		}
	}
	// The entries that named old are one run, low half first.
	run := 1 << (x.depth - old.depth)
	first := int(h<<shardBits>>(64-x.depth)) &^ (run - 1)
	for i := range run {
		if i < run/2 {
			x.segments[first+i] = low
		} else {
			x.segments[first+i] = high
		}
	}
	return true
}

// bytes is the memory that x holds.
func (x *index) bytes() int { return x.count*int(unsafe.Sizeof(segment{})) + cap(x.segments)*8 }

func (x *index) reset() { x.segments, x.count, x.depth = nil, 0, 0 }

func after(p uint32) uint32 {
	if p++; p < segmentSlots {
		return p
	}
	return 0
}

// between reports whether p lies in the circular range (from, to].
func between(from, p, to uint32) bool {
	if from <= to {
		return from < p && p <= to
	}
	return from < p || p <= to
}
