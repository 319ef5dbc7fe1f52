package registry

// Entry is one session as a walk over the table finds it.
type Entry struct {
	Principal []byte // borrowed until the visitor returns
	Session   Session
}

// walkStep is how many blocks are copied out under one hold of a shard's lock:
// about 5 µs.
const walkStep = 64

// Walk calls visit for every session that is there from beginning to end of
// the walk, once; for one that comes or goes meanwhile, once or not at all.
// visit runs without any lock and may take its time; returning false ends the
// walk. Displaced sessions are left out.
func (t *Table) Walk(visit func(Entry) bool) {
	var names []byte
	var found []Session
	var ends []int
	for i := range t.shards {
		s := &t.shards[i]
		for at := (place{word: 1}); !at.done; {
			names, found, ends = names[:0], found[:0], ends[:0]
			s.mu.Lock()
			s.arena.step(&at, func(word uint32, b []byte) {
				names = append(names, s.arena.name(word, sessionHeader)...)
				ends = append(ends, len(names))
				found = append(found, t.session(b))
			})
			s.mu.Unlock()
			start := 0
			for j, end := range ends {
				if !visit(Entry{Principal: names[start:end:end], Session: found[j]}) {
					return
				}
				start = end
			}
		}
	}
}

// WalkGroups calls visit for every group with the number of its members, on
// the same terms as Walk. The name is borrowed until visit returns.
func (t *Table) WalkGroups(visit func(name []byte, members int) bool) {
	var names []byte
	var counts, ends []int
	for i := range t.groups {
		g := &t.groups[i]
		for at := (place{word: 1}); !at.done; {
			names, counts, ends = names[:0], counts[:0], ends[:0]
			g.mu.Lock()
			g.arena.step(&at, func(word uint32, b []byte) {
				names = append(names, g.arena.name(word, groupHeader)...)
				ends = append(ends, len(names))
				counts = append(counts, int(get(b, offMembers)))
			})
			g.mu.Unlock()
			start := 0
			for j, end := range ends {
				if !visit(names[start:end:end], counts[j]) {
					return
				}
				start = end
			}
		}
	}
}

// place is where a walk stands in an arena.
type place struct {
	word   uint32
	resets uint32
	begun  bool
	done   bool
}

// step visits the live ones of at most walkStep blocks. Blocks keep their
// place and size until the arena is reset; then everything that a walk has to
// visit is gone and it is done.
func (a *arena) step(at *place, visit func(word uint32, b []byte)) {
	if at.begun && at.resets != a.resets {
		at.done = true
		return
	}
	at.begun, at.resets = true, a.resets
	for n := 0; n < walkStep && at.word < a.next; n++ {
		b := a.block(at.word)
		switch b[offState] {
		case 0: // the unused tail of a chunk
			at.word = (at.word + chunkWords) &^ (chunkWords - 1)
			continue
		case blockLive:
			visit(at.word, b)
		}
		at.word += uint32(b[offWords])
	}
	at.done = at.word >= a.next
}
