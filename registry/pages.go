package registry

import (
	"math/bits"
	"unsafe"
)

// page holds up to eight members of one group. A group's pages form a ring in
// which those with a vacancy come first: joining looks at the first page only,
// leaving brings a full page to the front. Members never move, so the
// membership that a session's chain holds stays good.
//
//	0       4      8      12     16                               112
//	| group | prev | next | used | 8 × (slot, generation, next)    |
type page struct {
	group      uint32 // block of the group
	prev, next uint32 // ring of the group's pages
	used       uint8  // one bit per place
	members    [pagePlaces]member
}

type member struct {
	slot, generation uint32
	next             membership // of the same session
}

const (
	placeBits  = 3
	pagePlaces = 1 << placeBits
	pageFull   = 1<<pagePlaces - 1
	// chunkPages fill an 8 KiB size class of the Go allocator to 8,176 bytes.
	chunkPages = 73
	maxPages   = 1<<pageBits - 1
)

// pages hands out pages from pointer-free chunks; number 0 is none.
type pages struct {
	chunks []*[chunkPages]page
	next   uint32 // first page never handed out
	free   uint32 // chain of freed pages through page.next
}

func (p *pages) at(n uint32) *page { return &p.chunks[n/chunkPages][n%chunkPages] }

func (p *pages) alloc() uint32 {
	if n := p.free; n != 0 {
		p.free = p.at(n).next
		return n
	}
	if p.next == 0 {
		p.next = 1
	}
	n := p.next
	if n > maxPages {
		return 0
	}
	if int(n/chunkPages) >= len(p.chunks) {
		p.chunks = append(p.chunks, new([chunkPages]page))
	}
	p.next++
	return n
}

func (p *pages) release(n uint32) {
	*p.at(n) = page{next: p.free}
	p.free = n
}

// bytes is the memory that p holds.
func (p *pages) bytes() int { return len(p.chunks) * (int(unsafe.Sizeof([chunkPages]page{})) + 8) }

func (p *pages) reset() { *p = pages{} }

// vacancy takes a place in the group at, or returns page 0 when there are no
// more pages.
func (g *groupShard) vacancy(at uint32) (n, place uint32) {
	b := g.arena.block(at)
	n = get(b, offFirstPage)
	if n == 0 || g.pages.at(n).used == pageFull {
		fresh := g.pages.alloc()
		if fresh == 0 {
			return 0, 0
		}
		g.pages.at(fresh).group = at
		g.pushFront(b, fresh)
		n = fresh
	}
	p := g.pages.at(n)
	place = uint32(bits.TrailingZeros8(^p.used))
	p.used |= 1 << place
	if p.used == pageFull {
		put(b, offFirstPage, p.next) // the full page is now the last of the ring
	}
	return n, place
}

// leavePage frees a place in page n of the group at.
func (g *groupShard) leavePage(at, n, place uint32) {
	b := g.arena.block(at)
	p := g.pages.at(n)
	wasFull := p.used == pageFull
	p.used &^= 1 << place
	p.members[place] = member{}
	switch {
	case p.used == 0:
		g.takeOut(b, n)
		g.pages.release(n)
	case wasFull:
		g.takeOut(b, n)
		g.pushFront(b, n)
	}
}

func (g *groupShard) pushFront(b []byte, n uint32) {
	p := g.pages.at(n)
	if first := get(b, offFirstPage); first == 0 {
		p.prev, p.next = n, n
	} else {
		f := g.pages.at(first)
		p.prev, p.next = f.prev, first
		g.pages.at(f.prev).next = n
		f.prev = n
	}
	put(b, offFirstPage, n)
}

func (g *groupShard) takeOut(b []byte, n uint32) {
	p := g.pages.at(n)
	if p.next == n {
		put(b, offFirstPage, 0)
		return
	}
	g.pages.at(p.prev).next = p.next
	g.pages.at(p.next).prev = p.prev
	if get(b, offFirstPage) == n {
		put(b, offFirstPage, p.next)
	}
}
