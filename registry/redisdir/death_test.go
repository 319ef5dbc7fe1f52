package redisdir

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// idsOf returns which principal each session of a child belongs to.
func idsOf(t *testing.T, c *child) map[session.ID]string {
	t.Helper()
	ids := map[session.ID]string{}
	if err := c.Walk(t.Context(), func(principal string, s registry.Session) { ids[s.ID] = principal }); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestNodeIsKilled(t *testing.T) {
	const sessions = 3000
	s := redistest.Start(t)
	lost := newLostRecorder()
	var nodes []*testNode
	for _, id := range []string{"a", "b", "c"} {
		config := quick(s.URL(), id)
		config.Lost = lost
		nodes = append(nodes, joinedNode(t, config, 1))
	}
	victim := startChild(t, s.URL(), "victim")
	victim.ask("open 0 %d", sessions)
	victim.ask("settled")
	ids := idsOf(t, victim)
	if len(ids) != sessions || len(nodes[0].find("user-7")) != 1 {
		t.Fatalf("%d sessions, user-7 at %v", len(ids), nodes[0].find("user-7"))
	}

	// Some come back elsewhere before anybody knows that the node is dead.
	victim.kill()
	killed := time.Now()
	back := map[string]session.ID{}
	for i := range 500 {
		principal := fmt.Sprintf("user-%d", i)
		back[principal] = nodes[i%3].open(principal)
	}
	config := nodes[0].dir.config
	for _, n := range nodes {
		eventually(t, config.Lease+2*time.Second-time.Since(killed), func() string {
			if at := n.find("user-2000"); len(at) != 0 {
				return fmt.Sprintf("after %v node %s still finds a dead session at %v", time.Since(killed), n.id, at)
			}
			return ""
		})
	}
	agree(t, s.URL(), nodes...)

	claims := uint64(0)
	for _, n := range nodes {
		claims += n.dir.Stats().Claims
	}
	if claims != 1 {
		t.Errorf("%d nodes claimed the dead one, want exactly one", claims)
	}
	counts := lost.counts()
	for id, principal := range ids {
		if counts[id] == 0 { // also of those who came back, whose entries had gone before the claim
			t.Fatalf("nobody reported the session of %s lost", principal)
		}
		if _, reconnected := back[principal]; !reconnected && counts[id] != 1 {
			t.Fatalf("session of %s was reported lost %d times, want once", principal, counts[id])
		}
	}
	for i, n := range []int{0, 1, 2, 499} {
		principal := fmt.Sprintf("user-%d", n)
		if got := nodes[i%3].find(principal); len(got) != 1 || got[0] != at(nodes[n%3], back[principal]) {
			t.Errorf("%s, who came back, is at %v", principal, got)
		}
	}
}

// TestKilledNodeIsStartedAgain has a new process take the dead one's name, and
// read the notices for it, before anybody clears up.
func TestKilledNodeIsStartedAgain(t *testing.T) {
	const sessions = 300
	s := redistest.Start(t)
	lost := newLostRecorder()
	config := quick(s.URL(), "a")
	config.Lost = lost
	a := joinedNode(t, config, 1)
	victim := startChild(t, s.URL(), "victim")
	victim.ask("open 0 %d", sessions)
	victim.ask("settled")
	ids := idsOf(t, victim)
	victim.kill()
	for i := range sessions {
		a.open(fmt.Sprintf("user-%d", i))
	}
	config = quick(s.URL(), "victim")
	config.Lost = lost
	again := joinedNode(t, config, 1)
	eventually(t, 30*time.Second, func() string {
		counts := lost.counts()
		for id, principal := range ids {
			if counts[id] == 0 {
				return fmt.Sprintf("nobody reported the session of %s lost", principal)
			}
		}
		return ""
	})
	agree(t, s.URL(), a, again)
	for id := range lost.counts() {
		if _, ok := ids[id]; !ok {
			t.Errorf("session %v was reported lost, and lives", id)
		}
	}
}

// TestNodeIsKilledInACluster has the entries of the dead node on three masters,
// and its lease and the lock of who clears up on one of them.
func TestNodeIsKilledInACluster(t *testing.T) {
	const sessions = 1000
	c := redistest.StartCluster(t)
	lost := newLostRecorder()
	var nodes []*testNode
	for _, id := range []string{"a", "b"} {
		config := quick(c.URL(), id)
		config.Lost = lost
		nodes = append(nodes, joinedNode(t, config, 1))
	}
	victim := startChild(t, c.URL(), "victim")
	victim.ask("open 0 %d", sessions)
	victim.ask("settled")
	ids := idsOf(t, victim)
	victim.kill()
	back := map[string]session.ID{}
	for i := range 100 {
		principal := fmt.Sprintf("user-%d", i)
		back[principal] = nodes[i%2].open(principal)
	}
	eventually(t, 15*time.Second, func() string {
		if claims := nodes[0].dir.Stats().Claims + nodes[1].dir.Stats().Claims; claims != 1 {
			return fmt.Sprintf("%d claims, want one", claims)
		}
		return ""
	})
	agree(t, c.URL(), nodes...)
	counts := lost.counts()
	for id, principal := range ids {
		newer, reconnected := back[principal]
		if counts[id] != 1 && (counts[id] == 0 || !reconnected) {
			t.Fatalf("session of %s was reported lost %d times", principal, counts[id])
		}
		if !reconnected {
			continue
		}
		var i int
		_, _ = fmt.Sscanf(principal, "user-%d", &i)
		if got := nodes[0].find(principal); len(got) != 1 || got[0] != at(nodes[i%2], newer) {
			t.Fatalf("%s, who came back, is at %v", principal, got)
		}
	}
}

// TestClaimerDies stops the node that clears up after another in the middle of
// it. The next one finishes, and nobody's end goes unreported.
func TestClaimerDies(t *testing.T) {
	const sessions = 2000
	s := redistest.Start(t)
	lost := newLostRecorder()
	begun, batches := make(chan struct{}), 0
	config := quick(s.URL(), "a")
	config.View = 20 * time.Millisecond // a is first to claim
	half := newLostRecorder()
	half.hook = func([]registry.LostSession) error {
		if batches++; batches == 2 {
			close(begun)
		}
		if batches >= 2 {
			return errors.New("events cannot be written")
		}
		return nil
	}
	config.Lost = half
	a := joinedNode(t, config, 1)
	victim := startChild(t, s.URL(), "victim")
	victim.ask("open 0 %d", sessions)
	victim.ask("settled")
	ids := idsOf(t, victim)
	victim.kill()
	select {
	case <-begun:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody claims")
	}
	a.stop()
	config = quick(s.URL(), "b")
	config.Lost = lost
	b := joinedNode(t, config, 1)
	eventually(t, 30*time.Second, func() string {
		if b.dir.Stats().Claims < 2 {
			return fmt.Sprintf("%d claims, want those of the victim and of a", b.dir.Stats().Claims)
		}
		return ""
	})
	agree(t, s.URL(), b)
	if left := keysLeft(s); len(left) != 0 {
		t.Errorf("%d buckets are left", len(left))
	}
	first, second := half.counts(), lost.counts()
	if len(first) == 0 || len(second) == 0 {
		t.Fatalf("%d and %d sessions reported: the claim was not shared", len(first), len(second))
	}
	for id, principal := range ids {
		if first[id]+second[id] != 1 {
			t.Fatalf("session of %s was reported lost %d times", principal, first[id]+second[id])
		}
	}
}

// TestReconnectWhileTheClaimRuns opens sessions of the very principals that
// are being reported, between the report and the removal.
func TestReconnectWhileTheClaimRuns(t *testing.T) {
	const sessions = 2000
	s := redistest.Start(t)
	b := joinedNode(t, quick(s.URL(), "b"), 1)
	lost := newLostRecorder()
	reconnected := map[string]session.ID{}
	var mu sync.Mutex // b reports those whose entries it replaced
	lost.hook = func(batch []registry.LostSession) error {
		mu.Lock()
		defer mu.Unlock()
		opened := false
		for i, l := range batch {
			if _, again := reconnected[l.Principal]; i%2 == 0 && !again {
				reconnected[l.Principal], opened = b.open(l.Principal), true
			}
		}
		if opened {
			b.settled()
		}
		return nil
	}
	config := quick(s.URL(), "a")
	config.Lost = lost
	config.View = 20 * time.Millisecond // a is first to claim
	b.dir.config.Lost = lost
	a := joinedNode(t, config, 1)
	victim := startChild(t, s.URL(), "victim")
	victim.ask("open 0 %d", sessions)
	victim.ask("settled")
	victim.kill()
	eventually(t, 10*time.Second, func() string {
		if a.dir.Stats().Claims+b.dir.Stats().Claims == 0 {
			return "nobody claims"
		}
		return ""
	})
	agree(t, s.URL(), a, b)
	mu.Lock()
	defer mu.Unlock()
	if len(reconnected) < sessions/2-10 {
		t.Fatalf("only %d reconnected during the claim", len(reconnected))
	}
	for principal, id := range reconnected {
		if got := a.find(principal); len(got) != 1 || got[0] != at(b, id) {
			t.Fatalf("%s reconnected during the claim and is at %v", principal, got)
		}
	}
	if len(lost.counts()) != sessions {
		t.Errorf("%d sessions reported lost, want %d", len(lost.counts()), sessions)
	}
}

// TestReportOfLostSessionsFails keeps the entries until the report succeeds.
func TestReportOfLostSessionsFails(t *testing.T) {
	s := redistest.Start(t)
	lost := newLostRecorder()
	var tries atomic.Int32
	lost.hook = func([]registry.LostSession) error {
		if tries.Add(1) < 3 {
			return errors.New("events cannot be written")
		}
		return nil
	}
	config := quick(s.URL(), "a")
	config.Lost = lost
	a := joinedNode(t, config, 1)
	victim := joinedNode(t, quick(s.URL(), "victim"), 1)
	id := victim.open("ann", "room")
	victim.settled()
	victim.stop()
	eventually(t, 15*time.Second, func() string {
		if lost.counts()[id] != 1 {
			return fmt.Sprintf("reported %d times after %d tries", lost.counts()[id], tries.Load())
		}
		return ""
	})
	agree(t, s.URL(), a)
}

func TestNodeIsFrozenPastItsLease(t *testing.T) {
	const sessions = 2000
	s := redistest.Start(t)
	lost := newLostRecorder()
	config := quick(s.URL(), "b")
	config.Lost = lost
	b := joinedNode(t, config, 1)
	frozen := startChild(t, s.URL(), "frozen")
	frozen.ask("open 0 %d", sessions)
	frozen.ask("settled")
	before := strings.Fields(frozen.ask("state")[0])[2]
	// More changes are on their way, or waiting, at the moment it stops.
	frozen.ask("open %d %d", sessions, 2*sessions)
	frozen.signal(syscall.SIGSTOP)
	time.Sleep(config.Lease / 2)
	moved := map[string]session.ID{}
	move := func(from, to int) {
		for i := from; i < to; i++ {
			principal := fmt.Sprintf("user-%d", i)
			moved[principal] = b.open(principal)
		}
	}
	move(0, 300)                     // before the lease ends
	move(sessions-200, sessions+200) // some of the waiting ones too
	time.Sleep(2 * config.Lease)
	move(500, 800) // and after
	b.settled()

	frozen.signal(syscall.SIGCONT)
	agreeWithChild(t, s.URL(), frozen, b)
	if after := strings.Fields(frozen.ask("state")[0])[2]; after == before {
		t.Errorf("it woke with its old incarnation %s", before)
	}
	for principal, id := range moved {
		if got := b.find(principal); len(got) != 1 || got[0] != at(b, id) {
			t.Fatalf("%s has moved to b and is at %v: a stale write won", principal, got)
		}
	}
	for _, principal := range []string{"user-400", fmt.Sprintf("user-%d", 2*sessions-1)} {
		if got := b.find(principal); len(got) != 1 || !strings.HasPrefix(got[0], "frozen ") {
			t.Errorf("%s, who stayed, is at %v", principal, got)
		}
	}
	if b.displaced != nil {
		t.Errorf("%d newer sessions were displaced by the stale node", len(b.displaced))
	}
}

// TestSameNodeRestarts brings a node back under its id while the lease of its
// killed predecessor still runs.
func TestSameNodeRestarts(t *testing.T) {
	s := redistest.Start(t)
	first := startChild(t, s.URL(), "a")
	first.ask("open 0 500")
	first.ask("settled")
	ids := idsOf(t, first)
	first.kill()
	lost := newLostRecorder()
	config := quick(s.URL(), "a")
	config.Lost = lost
	second := joinedNode(t, config, 1)
	id := second.open("user-3")
	eventually(t, 10*time.Second, func() string {
		if n := len(lost.counts()); n < len(ids)-1 {
			return fmt.Sprintf("%d of %d sessions of the predecessor reported lost", n, len(ids))
		}
		return ""
	})
	agree(t, s.URL(), second)
	if got := second.find("user-3"); len(got) != 1 || got[0] != at(second, id) {
		t.Errorf("user-3 is at %v", got)
	}
}

func TestTwoProcessesUnderOneID(t *testing.T) {
	s := redistest.Start(t)
	first := joinedNode(t, quick(s.URL(), "a"), 1)
	kept := first.open("ann")
	first.settled()
	second := joinedNode(t, quick(s.URL(), "a"), 1)
	first.await(Superseded)
	if got := first.table.AppendSessions(nil, []byte("ann")); len(got) != 1 || got[0] != kept {
		t.Errorf("the superseded process has lost its own table: %v", got)
	}
	time.Sleep(500 * time.Millisecond)
	if first.dir.State() != Superseded || second.dir.State() != Joined {
		t.Errorf("states %s and %s: they take the id from one another", first.dir.State(), second.dir.State())
	}
	second.stop()
	agree(t, s.URL(), first) // it takes over once the other's lease has ended
}
