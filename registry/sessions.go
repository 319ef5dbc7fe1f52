package registry

import (
	"fmt"

	"github.com/limpet-gateway/limpet/internal/session"
)

// Added is what Add did.
type Added struct {
	Ref   Ref   // keep it until Remove
	Epoch Epoch // of the new session, greater than any its principal had on this node

	// Displaced are the sessions that had to give way, nil if none. Lookups
	// find them no longer and they have left their groups. The caller closes
	// them with session.Displaced, and Removes each as it ends.
	Displaced []session.ID
}

// Add enters a session that has just opened. The principal is copied. It
// fails with ErrBadPrincipal or ErrTableFull, and then nothing has changed.
// id must carry the incarnation that the table was made with.
func (t *Table) Add(principal []byte, id session.ID) (Added, error) {
	if len(principal) == 0 || len(principal) > session.MaxName {
		return Added{}, ErrBadPrincipal
	}
	h := t.hash(principal)
	n := shardOf(h)
	s := &t.shards[n]
	s.mu.Lock()
	defer s.mu.Unlock()

	word := s.arena.alloc(sessionHeader, principal)
	if word == 0 {
		return Added{}, ErrTableFull
	}
	epoch := max(t.clock.Now(), s.newestGone+1)
	newest := s.index.find(&s.arena, h, principal)
	switch {
	case newest != 0:
		epoch = max(epoch, epochIn(s.arena.block(newest))+1)
		s.index.replace(h, newest, word)
	case s.index.insert(&s.arena, h, word):
		s.principals++
	default:
		s.arena.release(word)
		return Added{}, ErrTableFull
	}
	b := s.arena.block(word)
	setEpoch(b, epoch)
	put(b, offSlot, id.Slot)
	put(b, offGeneration, id.Generation)
	put(b, offOlder, newest)
	s.sessions++
	added := Added{Ref: refOf(n, word), Epoch: epoch}
	if newest != 0 {
		added.Displaced = t.displaceBeyondLimit(s, b)
	}
	t.observer.PrincipalChanged(principal)
	return added, nil
}

// displaceBeyondLimit cuts the chain that starts at the block b after the
// number of sessions that a principal may have.
func (t *Table) displaceBeyondLimit(s *shard, b []byte) []session.ID {
	for range t.maxPerPrincipal - 1 {
		older := get(b, offOlder)
		if older == 0 {
			return nil
		}
		b = s.arena.block(older)
	}
	var displaced []session.ID
	word := get(b, offOlder)
	put(b, offOlder, 0)
	for word != 0 {
		b = s.arena.block(word)
		displaced = append(displaced, t.session(b).ID)
		word = t.hide(b)
	}
	return displaced
}

// hide marks an unlinked block as displaced, and returns its next older one.
func (t *Table) hide(b []byte) (older uint32) {
	t.leaveAll(b)
	b[offState] = blockDisplaced
	older = get(b, offOlder)
	put(b, offOlder, 0)
	return older
}

// Displace takes a session out of lookups and groups because a newer one of
// its principal lives on another node. It reports whether the session was
// there; if so the caller closes it with session.Displaced, and Removes it as
// it ends. Only the first call for a session returns true.
func (t *Table) Displace(principal []byte, id session.ID) bool {
	h := t.hash(principal)
	s := &t.shards[shardOf(h)]
	s.mu.Lock()
	defer s.mu.Unlock()
	for word := s.index.find(&s.arena, h, principal); word != 0; {
		b := s.arena.block(word)
		if t.session(b).ID == id {
			s.unlink(h, principal, word)
			t.hide(b)
			t.observer.PrincipalChanged(principal)
			return true
		}
		word = get(b, offOlder)
	}
	return false
}

// Remove takes out a session that has ended, and its memberships. The owner
// of ref calls it exactly once.
func (t *Table) Remove(ref Ref) {
	s, word := t.lock(ref)
	defer s.mu.Unlock()
	b := s.arena.block(word)
	principal := s.arena.name(word, sessionHeader)
	if b[offState] == blockLive {
		t.leaveAll(b)
		s.unlink(t.hash(principal), principal, word)
		t.observer.PrincipalChanged(principal)
	}
	s.newestGone = max(s.newestGone, epochIn(b))
	s.arena.release(word)
	if s.sessions--; s.sessions == 0 && len(s.arena.chunks) > 1 {
		s.arena.reset()
		s.index.reset()
	}
}

// unlink takes a live block out of its principal's chain and, where it was
// the only one, the principal out of the index.
func (s *shard) unlink(h uint64, principal []byte, word uint32) {
	older := get(s.arena.block(word), offOlder)
	newest := s.index.find(&s.arena, h, principal)
	switch {
	case newest != word:
		b := s.arena.block(newest)
		for get(b, offOlder) != word {
			b = s.arena.block(get(b, offOlder))
		}
		put(b, offOlder, older)
	case older != 0:
		s.index.replace(h, word, older)
	default:
		s.index.remove(&s.arena, h, word)
		s.principals--
	}
}

// lock returns the shard of ref, locked, and its block. A ref whose session
// has been removed is a broken contract: the block may be a stranger's by now.
func (t *Table) lock(ref Ref) (*shard, uint32) {
	n, word := ref.split()
	s := &t.shards[n]
	s.mu.Lock()
	if word == 0 || word >= s.arena.next || s.arena.block(word)[offState] < blockLive {
		s.mu.Unlock()
		panic(fmt.Sprintf("registry: ref %#x is not in the table", uint32(ref)))
	}
	return s, word
}

func (t *Table) hash(name []byte) uint64 { return t.shards[0].index.hash(name) }
