package registry

import (
	"fmt"
	"slices"
	"testing"

	"github.com/limpet-gateway/limpet/internal/session"
	"pgregory.net/rapid"
)

// model is the table as one would write it without caring for memory.
type model struct {
	limit     int
	live      []modelSession // oldest first
	displaced []modelSession
	nextSlot  uint32
}

type modelSession struct {
	principal string
	id        session.ID
	ref       Ref
	epoch     Epoch
	groups    []string
}

func (m *model) sessionsOf(principal string) (found []session.ID) {
	for _, s := range slices.Backward(m.live) {
		if s.principal == principal {
			found = append(found, s.id)
		}
	}
	return found
}

func (m *model) membersOf(group string) (found []session.ID) {
	for _, s := range m.live {
		if slices.Contains(s.groups, group) {
			found = append(found, s.id)
		}
	}
	return found
}

// TestAgainstModel runs random sequences of everything that changes a table
// and compares every answer with the model's.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{limit: rapid.IntRange(1, 3).Draw(t, "limit")}
		table := newTestTable(m.limit)
		// Few principals and groups meet often; lengths cover every block size.
		principals := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,128}`), 1, 8, rapid.ID).Draw(t, "principals")
		groups := []string{"a", "room", "a-much-longer-name-of-a-group"}
		pick := func(t *rapid.T) int {
			if len(m.live) == 0 {
				t.Skip("no session")
			}
			return rapid.IntRange(0, len(m.live)-1).Draw(t, "session")
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				principal := rapid.SampledFrom(principals).Draw(t, "principal")
				m.nextSlot++
				added := mustAddRapid(t, table, principal, m.nextSlot)
				for _, s := range m.live {
					if s.principal == principal && s.epoch >= added.Epoch {
						t.Fatalf("epoch %d is not above %d", added.Epoch, s.epoch)
					}
				}
				m.live = append(m.live, modelSession{principal: principal, id: id(m.nextSlot), ref: added.Ref, epoch: added.Epoch})
				var displaced []session.ID
				for len(m.sessionsOf(principal)) > m.limit {
					i := slices.IndexFunc(m.live, func(s modelSession) bool { return s.principal == principal })
					displaced = append(displaced, m.live[i].id)
					m.displaced = append(m.displaced, m.live[i])
					m.live = slices.Delete(m.live, i, i+1)
				}
				if !slices.Equal(added.Displaced, displaced) {
					t.Fatalf("displaced %v, want %v", added.Displaced, displaced)
				}
			},
			"remove": func(t *rapid.T) {
				i := pick(t)
				table.Remove(m.live[i].ref)
				m.live = slices.Delete(m.live, i, i+1)
			},
			"remove displaced": func(t *rapid.T) {
				if len(m.displaced) == 0 {
					t.Skip("none")
				}
				table.Remove(m.displaced[0].ref)
				m.displaced = m.displaced[1:]
			},
			"displace": func(t *rapid.T) {
				i := pick(t)
				if !table.Displace([]byte(m.live[i].principal), m.live[i].id) {
					t.Fatal("Displace did not find the session")
				}
				m.displaced = append(m.displaced, m.live[i])
				m.live = slices.Delete(m.live, i, i+1)
			},
			"join": func(t *rapid.T) {
				s := &m.live[pick(t)]
				group := rapid.SampledFrom(groups).Draw(t, "group")
				if err := table.Join(s.ref, []byte(group)); err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(s.groups, group) {
					s.groups = append(s.groups, group)
				}
			},
			"leave": func(t *rapid.T) {
				s := &m.live[pick(t)]
				group := rapid.SampledFrom(groups).Draw(t, "group")
				i := slices.Index(s.groups, group)
				if left := table.Leave(s.ref, []byte(group)); left != (i >= 0) {
					t.Fatalf("Leave = %v, was in: %v", left, i >= 0)
				}
				if i >= 0 {
					s.groups = slices.Delete(s.groups, i, i+1)
				}
			},
			"": func(t *rapid.T) { compare(t, table, m, principals, groups) },
		})
	})
}

func mustAddRapid(t *rapid.T, table *Table, principal string, slot uint32) Added {
	added, err := table.Add([]byte(principal), id(slot))
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func compare(t *rapid.T, table *Table, m *model, principals, groups []string) {
	want := Stats{Sessions: len(m.live) + len(m.displaced)}
	for _, principal := range principals {
		sessions := m.sessionsOf(principal)
		if got := table.AppendSessions(nil, []byte(principal)); !slices.Equal(got, sessions) {
			t.Fatalf("%q has %v, want %v", principal, got, sessions)
		}
		if len(sessions) > 0 {
			want.Principals++
		}
	}
	order := func(a, b session.ID) int { return int(a.Slot) - int(b.Slot) }
	for _, group := range groups {
		members := m.membersOf(group)
		got := table.AppendGroup(nil, []byte(group))
		slices.SortFunc(got, order)
		slices.SortFunc(members, order)
		if !slices.Equal(got, members) || table.GroupSize([]byte(group)) != len(members) {
			t.Fatalf("%q has %v (size %d), want %v", group, got, table.GroupSize([]byte(group)), members)
		}
		if want.Memberships += len(members); len(members) > 0 {
			want.Groups++
		}
	}
	for _, s := range slices.Concat(m.live, m.displaced) {
		if got := table.AppendPrincipal(nil, s.ref); string(got) != s.principal {
			t.Fatalf("principal of %v is %q, want %q", s.id, got, s.principal)
		}
		if got := table.Session(s.ref); got != (Session{s.id, s.epoch}) {
			t.Fatalf("session at %#x is %v, want %v", s.ref, got, s)
		}
	}
	if got := table.Stats(); got != want {
		t.Fatalf("stats %+v, want %+v", got, want)
	}
}

// TestManyPrincipals drives the index through splits, removals that move
// other slots and the reset of emptied shards, which small models never reach.
func TestManyPrincipals(t *testing.T) {
	table := newTestTable(1)
	const n = 150_000
	name := func(i int) []byte { return fmt.Appendf(nil, "device-%07d", i) }
	refs := make([]Ref, n)
	for i := range refs {
		refs[i] = mustAdd(t, table, string(name(i)), uint32(i)).Ref
	}
	gone := func(i int) bool { return i%3 == 0 }
	for i, ref := range refs {
		if gone(i) {
			table.Remove(ref)
		}
	}
	var ids []session.ID
	for i := range refs {
		ids = table.AppendSessions(ids[:0], name(i))
		if gone(i) != (len(ids) == 0) || len(ids) == 1 && ids[0] != id(uint32(i)) {
			t.Fatalf("%s has %v", name(i), ids)
		}
	}
	for i, ref := range refs {
		if !gone(i) {
			table.Remove(ref)
		}
	}
	if s := table.Stats(); s != (Stats{}) {
		t.Fatalf("table is not empty: %+v", s)
	}
	if got := len(table.AppendSessions(nil, name(1))); got != 0 {
		t.Fatalf("an emptied table still finds %d", got)
	}
}
