package redisdir

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

func TestLookupFindsTheNode(t *testing.T) {
	s := redistest.Start(t)
	a, b := joinedNode(t, quick(s.URL(), "a"), 1), joinedNode(t, quick(s.URL(), "b"), 1)
	ann, bob := a.open("ann"), b.open("bob")
	long := strings.Repeat("x", 128) // goes to the long key of its bucket
	deep := b.open(long)
	a.settled()
	b.settled()
	for _, n := range []*testNode{a, b} {
		for principal, want := range map[string][]string{"ann": {at(a, ann)}, "bob": {at(b, bob)}, long: {at(b, deep)}, "nobody": {}} {
			if got := n.find(principal); !slices.Equal(got, want) {
				t.Errorf("on %s, %.10q is at %v, want %v", n.id, principal, got, want)
			}
		}
	}
	agree(t, s.URL(), a, b)
	a.end(ann)
	b.end(deep)
	a.settled()
	b.settled()
	if got := b.find("ann"); len(got) != 0 {
		t.Errorf("ann has gone and is found at %v", got)
	}
	b.end(bob)
	b.settled()
	if left := keysLeft(s); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLookupsInBatches(t *testing.T) {
	s := redistest.Start(t)
	a, b := joinedNode(t, quick(s.URL(), "a"), 1), joinedNode(t, quick(s.URL(), "b"), 1)
	var names []string
	for i := range 2*lookupBatch + 7 {
		names = append(names, fmt.Sprintf("user-%d", i))
		if i%3 == 0 {
			a.open(names[i])
		}
	}
	a.settled()
	before := b.dir.Stats().Calls
	found := map[int]int{}
	if err := b.dir.Lookup(t.Context(), names, func(i int, l Location) { found[i]++ }); err != nil {
		t.Fatal(err)
	}
	for i := range names {
		want := 0
		if i%3 == 0 {
			want = 1
		}
		if found[i] != want {
			t.Fatalf("%s found %d times, want %d", names[i], found[i], want)
		}
	}
	if calls := b.dir.Stats().Calls - before; calls > uint64(len(names))+50 {
		t.Errorf("%d commands for %d names", calls, len(names))
	}
}

func TestSingleAcrossNodes(t *testing.T) {
	s := redistest.Start(t)
	a, b := joinedNode(t, quick(s.URL(), "a"), 1), joinedNode(t, quick(s.URL(), "b"), 1)
	first := a.open("ann")
	a.settled()
	second := b.open("ann")
	eventually(t, 5*time.Second, func() string {
		if !a.wasDisplaced(first) {
			return "the older session on the other node was not displaced"
		}
		return ""
	})
	agree(t, s.URL(), a, b)
	if got := a.find("ann"); !slices.Equal(got, []string{at(b, second)}) {
		t.Errorf("ann is at %v, want the newer only", got)
	}
	if b.wasDisplaced(second) {
		t.Error("the newer session was displaced too")
	}
}

// TestNewestWinsWhateverArrivesFirst lets the older session's write arrive
// last: it must lose, and its node must be told.
func TestNewestWinsWhateverArrivesFirst(t *testing.T) {
	s := redistest.Start(t)
	a, b := startNode(t, quick(s.URL(), "a"), 1), joinedNode(t, quick(s.URL(), "b"), 1)
	older := a.open("ann")
	time.Sleep(3 * time.Millisecond)
	newer := b.open("ann")
	a.await(Joined)
	agree(t, s.URL(), a, b)
	if !a.wasDisplaced(older) || b.wasDisplaced(newer) {
		t.Errorf("older displaced: %v (want true), newer displaced: %v (want false)", a.wasDisplaced(older), b.wasDisplaced(newer))
	}
}

func TestManyAcrossNodes(t *testing.T) {
	const limit = 6
	s := redistest.Start(t)
	a, b := joinedNode(t, quick(s.URL(), "a"), limit), joinedNode(t, quick(s.URL(), "b"), limit)
	var want []string
	oldest := a.open("ann")
	for range limit / 2 {
		time.Sleep(3 * time.Millisecond)
		want = append(want, at(a, a.open("ann")), at(b, b.open("ann")))
	}
	a.settled()
	b.settled()
	eventually(t, 5*time.Second, func() string {
		if !a.wasDisplaced(oldest) {
			return "the oldest session beyond the limit was not displaced"
		}
		return ""
	})
	agree(t, s.URL(), a, b)
	slices.Sort(want)
	if got := b.find("ann"); !slices.Equal(got, want) {
		t.Errorf("ann is at %v, want %v", got, want)
	}
	// Six records are longer than a listpack takes; the bucket must not notice.
	for _, key := range keysLeft(s) {
		if !strings.HasSuffix(key, longSuffix) && s.Must("OBJECT", "ENCODING", key) != "listpack" {
			t.Errorf("%s is a %s", key, s.Must("OBJECT", "ENCODING", key))
		}
	}
}

func TestGroupPresence(t *testing.T) {
	s := redistest.Start(t)
	a, b := joinedNode(t, quick(s.URL(), "a"), 1), joinedNode(t, quick(s.URL(), "b"), 1)
	first := a.open("u1", "room", "hall")
	a.open("u2", "room")
	b.open("u3", "room")
	a.settled()
	b.settled()
	members := func() map[string]int {
		found := map[string]int{}
		if err := b.dir.LookupGroups(t.Context(), []string{"room", "hall", "cellar"}, func(i int, p Presence) {
			found[fmt.Sprint([]string{"room", "hall", "cellar"}[i], " ", p.Node.ID)] = p.Members
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	if got := fmt.Sprint(members()); got != "map[hall a:1 room a:2 room b:1]" {
		t.Errorf("presence %v", got)
	}
	a.end(first)
	a.settled()
	if got := fmt.Sprint(members()); got != "map[room a:1 room b:1]" {
		t.Errorf("after one left: %v", got)
	}
	agree(t, s.URL(), a, b)
	// A dead node's members do not count.
	a.stop()
	eventually(t, 5*time.Second, func() string {
		if got := fmt.Sprint(members()); got != "map[room b:1]" {
			return fmt.Sprintf("after the death of a: %v", got)
		}
		return ""
	})
	agree(t, s.URL(), b)
}

func TestDrainLeavesNothing(t *testing.T) {
	s := redistest.Start(t)
	a := joinedNode(t, quick(s.URL(), "a"), 1)
	var ids []string
	for i := range 1000 {
		id := a.open(fmt.Sprintf("user-%d", i), "all")
		ids = append(ids, id.String())
		defer a.end(id)
	}
	a.settled()
	for id := range a.refs {
		a.end(id)
	}
	if err := a.dir.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := keysLeft(s); len(left) != 0 || len(ids) != 1000 {
		t.Errorf("left behind: %v", left)
	}
	if got := s.Must("EXISTS", keyLease("a")); got != "0" {
		t.Error("the lease is still there")
	}
	if got := s.Must("HLEN", keyIncarnations); got != "0" {
		t.Errorf("%s incarnations are still known", got)
	}
	if err := a.dir.Lookup(t.Context(), []string{"x"}, nil); err != ErrDegraded {
		t.Errorf("lookup after Drain: %v, want ErrDegraded", err)
	}
}

// Round trips are timed and measured, and the age of the lease is that of the
// renewal which Redis took last: it grows while Redis is away.
func TestStatsOfTheWayToRedis(t *testing.T) {
	s := redistest.Start(t)
	n := joinedNode(t, quick(s.URL(), "a"), 1)
	for i := range 200 {
		n.open(fmt.Sprint("p", i))
	}
	n.settled()
	stats := n.dir.Stats()
	if stats.Trips.Count == 0 || stats.Trips.Sum <= 0 || stats.Trips.Count != stats.Pipeline.Count || stats.Pipeline.Sum < float64(stats.Trips.Count) {
		t.Errorf("trips %+v, pipeline %+v", stats.Trips, stats.Pipeline)
	}
	if stats.LeaseAge < 0 || stats.LeaseAge > stats.Lease || stats.Lease != n.dir.config.Lease {
		t.Errorf("the lease of %v is %v old", stats.Lease, stats.LeaseAge)
	}
	s.Kill()
	eventually(t, 30*time.Second, func() string {
		if now := n.dir.Stats(); now.LeaseAge <= stats.Lease || now.Fails == 0 {
			return fmt.Sprintf("without Redis the lease of %v is %v old", now.Lease, now.LeaseAge)
		}
		return ""
	})
}

func TestSeenNodes(t *testing.T) {
	s := redistest.Start(t)
	a := joinedNode(t, quick(s.URL(), "a"), 1)
	joinedNode(t, quick(s.URL(), "b"), 1)
	eventually(t, 30*time.Second, func() string {
		nodes, at := a.dir.Seen()
		if len(nodes) == 2 && nodes[0].ID == "a" && nodes[1].ID == "b" && nodes[1].Alive && !at.IsZero() {
			return ""
		}
		return fmt.Sprintf("%d nodes seen at %v", len(nodes), at)
	})
}

// A value that no node wrote stops the checker, which says where it is.
func TestCheckNamesAForeignValue(t *testing.T) {
	s := redistest.Start(t)
	joinedNode(t, quick(s.URL(), "a"), 1)
	for _, key := range []string{principals.bucketKey(1), groups.bucketKey(1)} {
		s.Must("HSET", key, "zed", "\xff")
		r, err := Open(t.Context(), s.URL())
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(
			r.Walk(t.Context(), func(string, Location) {}),
			r.WalkGroups(t.Context(), func(string, Presence) {}))
		if !errors.Is(err, errBadValue) || !strings.Contains(err.Error(), `"zed"`) {
			t.Errorf("%s: %v", key, err)
		}
		r.Close()
		s.Must("DEL", key)
	}
}
