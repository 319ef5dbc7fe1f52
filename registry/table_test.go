package registry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

const testIncarnation = 0xfeed

func id(slot uint32) session.ID {
	return session.ID{Incarnation: testIncarnation, Slot: slot, Generation: 1}
}

func newTestTable(limit int) *Table {
	return NewTable(Config{Incarnation: testIncarnation, MaxPerPrincipal: limit})
}

func mustAdd(t testing.TB, table *Table, principal string, slot uint32) Added {
	t.Helper()
	added, err := table.Add([]byte(principal), id(slot))
	if err != nil {
		t.Fatalf("Add(%q): %v", principal, err)
	}
	return added
}

func TestSingleDisplacesTheOlder(t *testing.T) {
	table := newTestTable(1)
	first := mustAdd(t, table, "ann", 1)
	if err := table.Join(first.Ref, []byte("room")); err != nil {
		t.Fatal(err)
	}
	second := mustAdd(t, table, "ann", 2)
	if want := []session.ID{id(1)}; !slices.Equal(second.Displaced, want) {
		t.Fatalf("displaced %v, want %v", second.Displaced, want)
	}
	if second.Epoch <= first.Epoch {
		t.Errorf("epoch %d does not follow %d", second.Epoch, first.Epoch)
	}
	if got := table.AppendSessions(nil, []byte("ann")); !slices.Equal(got, []session.ID{id(2)}) {
		t.Errorf("lookup finds %v, want the newer only", got)
	}
	if n := table.GroupSize([]byte("room")); n != 0 {
		t.Errorf("the displaced session is still counted in its group: %d", n)
	}
	if err := table.Join(first.Ref, []byte("room")); err != nil || table.GroupSize([]byte("room")) != 0 {
		t.Errorf("a displaced session joined a group (%v)", err)
	}
	// Its owner can still ask who it was, and removes it when it has closed.
	if got := table.AppendPrincipal(nil, first.Ref); string(got) != "ann" {
		t.Errorf("principal of the displaced session is %q", got)
	}
	table.Remove(first.Ref)
	if got := table.AppendSessions(nil, []byte("ann")); !slices.Equal(got, []session.ID{id(2)}) {
		t.Errorf("after the older ended, lookup finds %v", got)
	}
	table.Remove(second.Ref)
	if s := table.Stats(); s != (Stats{}) {
		t.Errorf("table is not empty: %+v", s)
	}
}

func TestManyUpToALimit(t *testing.T) {
	table := newTestTable(3)
	refs := map[uint32]Ref{}
	for slot := uint32(1); slot <= 3; slot++ {
		added := mustAdd(t, table, "ann", slot)
		if added.Displaced != nil {
			t.Fatalf("session %d displaced %v", slot, added.Displaced)
		}
		refs[slot] = added.Ref
	}
	if added := mustAdd(t, table, "ann", 4); !slices.Equal(added.Displaced, []session.ID{id(1)}) {
		t.Fatalf("the fourth displaced %v, want the oldest", added.Displaced)
	}
	table.Remove(refs[3]) // from the middle of the chain
	if got, want := table.AppendSessions(nil, []byte("ann")), []session.ID{id(4), id(2)}; !slices.Equal(got, want) {
		t.Errorf("lookup finds %v, want %v", got, want)
	}
	if !table.Displace([]byte("ann"), id(2)) {
		t.Error("Displace did not find the session")
	}
	if table.Displace([]byte("ann"), id(2)) || table.Displace([]byte("bob"), id(2)) {
		t.Error("Displace found a session that is displaced already, or a stranger's")
	}
	table.Remove(refs[2])
	table.Remove(refs[1])
	if got, want := table.AppendSessions(nil, []byte("ann")), []session.ID{id(4)}; !slices.Equal(got, want) {
		t.Errorf("lookup finds %v, want %v", got, want)
	}
	entries := table.AppendEntries(nil, []byte("ann"))
	if len(entries) != 1 || time.Since(entries[0].Epoch.Time()) > time.Minute {
		t.Errorf("entries %v do not say since when", entries)
	}
}

func TestEpochsGrowWithinAMillisecond(t *testing.T) {
	frozen := EpochOf(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)).Time()
	now := frozen
	table := NewTable(Config{Clock: NewClock(func() time.Time { return now })})
	var last Epoch
	for i := range uint32(100) {
		added := mustAdd(t, table, "ann", i)
		if added.Epoch <= last {
			t.Fatalf("epoch %d after %d", added.Epoch, last)
		}
		last = added.Epoch
		table.Remove(added.Ref)
	}
	now = frozen.Add(-time.Hour) // a wall clock that is set back
	if added := mustAdd(t, table, "ann", 1); added.Epoch <= last {
		t.Fatalf("epoch %d after %d and a step back of the clock", added.Epoch, last)
	}
}

func TestEpochIsSince(t *testing.T) {
	at := time.Date(2026, 11, 22, 13, 45, 0, 5e6, time.UTC)
	if got := EpochOf(at).Time(); !got.Equal(at) {
		t.Errorf("EpochOf(%v).Time() = %v", at, got)
	}
	if EpochOf(time.Unix(0, 0)) != 0 || EpochOf(time.Unix(1<<40, 0)) != MaxEpoch {
		t.Error("epochs are not clamped to what 40 bits hold")
	}
}

func TestRefusals(t *testing.T) {
	table := NewTable(Config{MaxGroups: 2})
	long := strings.Repeat("x", session.MaxName)
	for _, bad := range []string{"", long + "x"} {
		if _, err := table.Add([]byte(bad), id(1)); !errors.Is(err, ErrBadPrincipal) {
			t.Errorf("Add of %d bytes: %v, want ErrBadPrincipal", len(bad), err)
		}
	}
	added := mustAdd(t, table, long, 1)
	for _, bad := range []string{"", long + "x"} {
		if err := table.Join(added.Ref, []byte(bad)); !errors.Is(err, ErrBadGroup) {
			t.Errorf("Join of %d bytes: %v, want ErrBadGroup", len(bad), err)
		}
	}
	for _, group := range []string{long, "b", "b"} {
		if err := table.Join(added.Ref, []byte(group)); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Join(added.Ref, []byte("c")); !errors.Is(err, ErrTooManyGroups) {
		t.Errorf("third group: %v, want ErrTooManyGroups", err)
	}
	if got := table.AppendPrincipal(nil, added.Ref); string(got) != long {
		t.Errorf("principal came back as %q", got)
	}
	if err := (Config{MaxPerPrincipal: 65, MaxGroups: -1}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("Validate reports %v, want both faults", err)
	}
}

func TestStaleRefPanics(t *testing.T) {
	table := newTestTable(1)
	added := mustAdd(t, table, "ann", 1)
	mustAdd(t, table, "bob", 2)
	table.Remove(added.Ref)
	for name, use := range map[string]func(){
		"Remove":          func() { table.Remove(added.Ref) },
		"AppendPrincipal": func() { table.AppendPrincipal(nil, added.Ref) },
		"zero":            func() { table.Remove(0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of a ref that is gone did not panic", name)
				}
			}()
			use()
		}()
	}
}

// recorder keeps the names it is told of.
type recorder struct {
	mu                 sync.Mutex
	principals, groups []string
}

func (r *recorder) PrincipalChanged(p []byte) {
	r.mu.Lock()
	r.principals = append(r.principals, string(p))
	r.mu.Unlock()
}

func (r *recorder) GroupChanged(g []byte) {
	r.mu.Lock()
	r.groups = append(r.groups, string(g))
	r.mu.Unlock()
}

func TestObserverHearsEveryChange(t *testing.T) {
	table, heard := newTestTable(1), &recorder{}
	table.Observe(heard)
	first := mustAdd(t, table, "ann", 1)
	_ = table.Join(first.Ref, []byte("room"))
	_ = table.Join(first.Ref, []byte("room")) // no change
	table.Leave(first.Ref, []byte("room"))
	table.Leave(first.Ref, []byte("room")) // no change
	_ = table.Join(first.Ref, []byte("hall"))
	second := mustAdd(t, table, "ann", 2) // displaces, leaves hall
	table.Remove(first.Ref)               // no change: it was displaced
	table.Displace([]byte("ann"), id(2))
	table.Remove(second.Ref)
	if want := []string{"ann", "ann", "ann"}; !slices.Equal(heard.principals, want) {
		t.Errorf("principals heard: %v, want %v", heard.principals, want)
	}
	if want := []string{"room", "room", "hall", "hall"}; !slices.Equal(heard.groups, want) {
		t.Errorf("groups heard: %v, want %v", heard.groups, want)
	}
}

func TestWalk(t *testing.T) {
	table := newTestTable(2)
	want := map[string]int{}
	var refs []Ref
	for i := range uint32(20_000) {
		principal := fmt.Sprintf("user-%d", i/2)
		refs = append(refs, mustAdd(t, table, principal, i).Ref)
		want[principal]++
	}
	_ = table.Join(refs[0], []byte("room"))
	_ = table.Join(refs[5], []byte("room"))
	_ = table.Join(refs[5], []byte("hall"))
	got := map[string]int{}
	table.Walk(func(e Entry) bool {
		got[string(e.Principal)]++
		sessions := table.AppendEntries(nil, e.Principal) // no lock is held: this does not deadlock
		if !slices.Contains(sessions, e.Session) {
			t.Fatalf("walk shows %v for %q, lookup %v", e.Session, e.Principal, sessions)
		}
		return true
	})
	if len(got) != len(want) {
		t.Fatalf("walk saw %d principals, want %d", len(got), len(want))
	}
	for principal, n := range want {
		if got[principal] != n {
			t.Fatalf("walk saw %d sessions of %q, want %d", got[principal], principal, n)
		}
	}
	groups := map[string]int{}
	table.WalkGroups(func(name []byte, members int) bool { groups[string(name)] = members; return true })
	if len(groups) != 2 || groups["room"] != 2 || groups["hall"] != 1 {
		t.Errorf("groups walked: %v", groups)
	}
	seen := 0
	table.Walk(func(Entry) bool { seen++; return seen < 10 })
	if seen != 10 {
		t.Errorf("walk went on to %d after it was told to stop at 10", seen)
	}
}

func TestWalkWhileTheTableIsEmptied(t *testing.T) {
	table := newTestTable(1)
	var refs []Ref
	for i := range uint32(100_000) {
		refs = append(refs, mustAdd(t, table, fmt.Sprintf("user-%d", i), i).Ref)
	}
	walked := 0
	table.Walk(func(e Entry) bool {
		if walked++; walked == 10 {
			for _, ref := range refs {
				table.Remove(ref)
			}
			for i := range uint32(50_000) { // other sizes of block at other places
				mustAdd(t, table, fmt.Sprintf("somebody-with-a-longer-name-%d", i), i)
			}
		}
		if !bytes.HasPrefix(e.Principal, []byte("user-")) && !bytes.HasPrefix(e.Principal, []byte("somebody-")) {
			t.Fatalf("walk shows %q", e.Principal)
		}
		return true
	})
}

func TestConcurrentUse(t *testing.T) {
	table := newTestTable(2)
	table.Observe(&recorder{})
	const workers, rounds = 4, 3000
	var wg sync.WaitGroup
	for w := range uint32(workers) {
		wg.Go(func() {
			group := []byte("everybody")
			var kept []Ref
			for i := range uint32(rounds) {
				added, err := table.Add(fmt.Appendf(nil, "user-%d", i%97), id(w<<24|i))
				if err != nil {
					t.Error(err)
					return
				}
				if err := table.Join(added.Ref, group); err != nil {
					t.Error(err)
					return
				}
				if kept = append(kept, added.Ref); len(kept) > 20 {
					table.Remove(kept[0])
					kept = kept[1:]
				}
				table.AppendGroup(nil, group)
			}
			for _, ref := range kept {
				table.Remove(ref)
			}
		})
	}
	walking := make(chan struct{})
	go func() {
		defer close(walking)
		for range 50 {
			table.Walk(func(Entry) bool { return true })
			table.WalkGroups(func([]byte, int) bool { return true })
			table.Stats()
		}
	}()
	wg.Wait()
	<-walking
	if s := table.Stats(); s != (Stats{}) {
		t.Errorf("table is not empty: %+v", s)
	}
}
