package registry

import "github.com/limpet-gateway/limpet/internal/session"

// AppendSessions appends the ids of the principal's sessions on this node to
// dst, newest first.
func (t *Table) AppendSessions(dst []session.ID, principal []byte) []session.ID {
	t.eachOf(principal, func(b []byte) bool {
		dst = append(dst, t.session(b).ID)
		return true
	})
	return dst
}

// AppendEntries is AppendSessions with the epochs.
func (t *Table) AppendEntries(dst []Session, principal []byte) []Session {
	t.eachOf(principal, func(b []byte) bool {
		dst = append(dst, t.session(b))
		return true
	})
	return dst
}

// eachOf calls visit with the block of each session of a principal, newest
// first and with the shard locked, until it returns false.
func (t *Table) eachOf(principal []byte, visit func(b []byte) bool) {
	h := t.hash(principal)
	s := &t.shards[shardOf(h)]
	s.mu.Lock()
	defer s.mu.Unlock()
	for word := s.index.find(&s.arena, h, principal); word != 0; {
		b := s.arena.block(word)
		if !visit(b) {
			return
		}
		word = get(b, offOlder)
	}
}

// AppendPrincipal appends the principal of the session at ref to dst.
func (t *Table) AppendPrincipal(dst []byte, ref Ref) []byte {
	s, word := t.lock(ref)
	dst = append(dst, s.arena.name(word, sessionHeader)...)
	s.mu.Unlock()
	return dst
}

// Session returns the session at ref, displaced or not.
func (t *Table) Session(ref Ref) Session {
	s, word := t.lock(ref)
	defer s.mu.Unlock()
	return t.session(s.arena.block(word))
}

// Stats counts what is in the table.
type Stats struct {
	Sessions    int `json:"sessions"`   // displaced ones that have not ended yet included
	Principals  int `json:"principals"` // with at least one session that is not displaced
	Groups      int `json:"groups"`
	Memberships int `json:"memberships"`
}

// Stats adds up the shards one after the other, so the sums are of slightly
// different moments.
func (t *Table) Stats() Stats {
	var sum Stats
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		sum.Sessions += s.sessions
		sum.Principals += s.principals
		s.mu.Unlock()
	}
	for i := range t.groups {
		g := &t.groups[i]
		g.mu.Lock()
		sum.Groups += g.groups
		sum.Memberships += g.memberships
		g.mu.Unlock()
	}
	return sum
}

// Bytes is the memory that the table holds for sessions and groups, used or
// free for the next ones. It takes each shard's lock for a moment.
func (t *Table) Bytes() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += s.arena.bytes() + s.index.bytes()
		s.mu.Unlock()
	}
	for i := range t.groups {
		g := &t.groups[i]
		g.mu.Lock()
		n += g.arena.bytes() + g.index.bytes() + g.pages.bytes()
		g.mu.Unlock()
	}
	return n
}
