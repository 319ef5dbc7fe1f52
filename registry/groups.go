package registry

import (
	"math/bits"
	"sync"

	"github.com/limpet-gateway/limpet/internal/session"
)

// groupShard holds the groups whose hash starts with its number, and their
// members. All fields are guarded by mu, except that the link of a membership
// to the next one of its session changes only under the session's shard too.
type groupShard struct {
	mu          sync.Mutex
	arena       arena // one block per group
	index       index
	pages       pages
	groups      int
	memberships int
	_           [64]byte
}

const groupShardBits = 3

// A group's block, after the arena's four bytes. A name is stored once per
// node however many sessions are in the group.
//
//	4   | first page
//	8   | members
//	12  | name
const (
	offFirstPage = 4
	offMembers   = 8
	groupHeader  = 12
)

// membership names one place in a page; zero is none.
//
//	31        29              3      0
//	| shard  |  page          | place |
type membership uint32

const pageBits = 32 - groupShardBits - placeBits

func membershipAt(shard int, page, place uint32) membership {
	return membership(uint32(shard)<<(pageBits+placeBits) | page<<placeBits | place)
}

func (m membership) split() (shard int, page, place uint32) {
	return int(m >> (pageBits + placeBits)), uint32(m) >> placeBits & (1<<pageBits - 1), uint32(m) & (pagePlaces - 1)
}

func groupShardOf(h uint64) int { return int(h >> (64 - groupShardBits)) }

// Join puts the session at ref into a group, making the group if need be.
// Joining twice is joining once; a displaced session joins nothing. It fails
// with ErrBadGroup, ErrTooManyGroups or ErrTableFull.
func (t *Table) Join(ref Ref, group []byte) error {
	if len(group) == 0 || len(group) > session.MaxName {
		return ErrBadGroup
	}
	s, word := t.lock(ref)
	defer s.mu.Unlock()
	return t.join(s.arena.block(word), group)
}

// join is Join for the session block b, whose shard is locked.
func (t *Table) join(b []byte, group []byte) error {
	if b[offState] == blockDisplaced {
		return nil
	}
	h := t.hash(group)
	n := groupShardOf(h)
	if joined, in := t.findMembership(b, n, h, group); in {
		return nil
	} else if joined >= t.maxGroups {
		return ErrTooManyGroups
	}
	g := &t.groups[n]
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.index.find(&g.arena, h, group)
	if at == 0 {
		if at = g.arena.alloc(groupHeader, group); at == 0 {
			return ErrTableFull
		}
		if !g.index.insert(&g.arena, h, at) {
			g.arena.release(at)
			return ErrTableFull
		}
		g.groups++
	}
	page, place := g.vacancy(at)
	if page == 0 {
		g.releaseIfEmpty(at)
		return ErrTableFull
	}
	g.pages.at(page).members[place] = member{
		slot:       get(b, offSlot),
		generation: get(b, offGeneration),
		next:       membership(get(b, offMemberships)),
	}
	put(b, offMemberships, uint32(membershipAt(n, page, place)))
	g.count(at, +1)
	t.observer.GroupChanged(group)
	return nil
}

// findMembership looks for a group among those of the session block b, and
// counts them.
func (t *Table) findMembership(b []byte, shard int, h uint64, group []byte) (joined int, in bool) {
	for m := membership(get(b, offMemberships)); m != 0; joined++ {
		n, page, place := m.split()
		g := &t.groups[n]
		g.mu.Lock()
		p := g.pages.at(page)
		if n == shard && !in && p.group == g.index.find(&g.arena, h, group) {
			in = true
		}
		m = p.members[place].next
		g.mu.Unlock()
	}
	return joined, in
}

// Leave takes the session at ref out of a group and reports whether it was in.
func (t *Table) Leave(ref Ref, group []byte) bool {
	s, word := t.lock(ref)
	defer s.mu.Unlock()
	return t.leave(s.arena.block(word), group)
}

// leave is Leave for the session block b, whose shard is locked.
func (t *Table) leave(b []byte, group []byte) bool {
	h := t.hash(group)
	target := groupShardOf(h)

	before := membership(0)
	for m := membership(get(b, offMemberships)); m != 0; {
		n, page, place := m.split()
		g := &t.groups[n]
		g.mu.Lock()
		p := g.pages.at(page)
		next := p.members[place].next
		found := n == target && p.group == g.index.find(&g.arena, h, group)
		if found {
			t.vacate(g, page, place)
		}
		g.mu.Unlock()
		if found {
			t.relink(b, before, next)
			return true
		}
		before, m = m, next
	}
	return false
}

// relink makes next follow the membership before in the chain of the session
// block b; a zero before is the head of the chain.
func (t *Table) relink(b []byte, before, next membership) {
	if before == 0 {
		put(b, offMemberships, uint32(next))
		return
	}
	n, page, place := before.split()
	g := &t.groups[n]
	g.mu.Lock()
	g.pages.at(page).members[place].next = next
	g.mu.Unlock()
}

// leaveAll ends every membership of the session block b.
func (t *Table) leaveAll(b []byte) {
	for m := membership(get(b, offMemberships)); m != 0; {
		n, page, place := m.split()
		g := &t.groups[n]
		g.mu.Lock()
		m = g.pages.at(page).members[place].next
		t.vacate(g, page, place)
		g.mu.Unlock()
	}
	put(b, offMemberships, 0)
}

// vacate frees one place, and with the last one the group.
func (t *Table) vacate(g *groupShard, page, place uint32) {
	at := g.pages.at(page).group
	g.leavePage(at, page, place)
	g.count(at, -1)
	t.observer.GroupChanged(g.arena.name(at, groupHeader))
	g.releaseIfEmpty(at)
}

func (g *groupShard) count(at uint32, by int) {
	b := g.arena.block(at)
	put(b, offMembers, uint32(int(get(b, offMembers))+by))
	g.memberships += by
}

func (g *groupShard) releaseIfEmpty(at uint32) {
	if get(g.arena.block(at), offMembers) != 0 {
		return
	}
	g.index.remove(&g.arena, g.index.hash(g.arena.name(at, groupHeader)), at)
	g.arena.release(at)
	if g.groups--; g.groups == 0 && len(g.arena.chunks)+len(g.pages.chunks) > 2 {
		g.arena.reset()
		g.index.reset()
		g.pages.reset()
	}
}

// AppendGroup appends the ids of the group's sessions on this node to dst, in
// no order. It is one consistent view, and holds the lock of the group's shard
// for about 5 ns per member.
func (t *Table) AppendGroup(dst []session.ID, group []byte) []session.ID {
	h := t.hash(group)
	g := &t.groups[groupShardOf(h)]
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.index.find(&g.arena, h, group)
	if at == 0 {
		return dst
	}
	first := get(g.arena.block(at), offFirstPage)
	for n := first; ; {
		p := g.pages.at(n)
		for used := p.used; used != 0; used &= used - 1 {
			m := &p.members[bits.TrailingZeros8(used)]
			dst = append(dst, session.ID{Incarnation: t.incarnation, Slot: m.slot, Generation: m.generation})
		}
		if n = p.next; n == first {
			return dst
		}
	}
}

// GroupSize returns how many sessions on this node are in the group.
func (t *Table) GroupSize(group []byte) int {
	h := t.hash(group)
	g := &t.groups[groupShardOf(h)]
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := g.index.find(&g.arena, h, group); at != 0 {
		return int(get(g.arena.block(at), offMembers))
	}
	return 0
}
