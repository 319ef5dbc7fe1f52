package redisdir

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// inboxNode is a node that leases one of partitions.
func inboxNode(t testing.TB, url, id string, partitions int) *testNode {
	t.Helper()
	n := prepareNode(t, quick(url, id), 1)
	n.dir.SetInboxes(InboxTopic{Name: "limpet.inbox", Partitions: partitions})
	n.run()
	n.await(Joined)
	return n
}

func (n *testNode) inbox() int32 {
	n.t.Helper()
	var partition int32
	eventually(n.t, 15*time.Second, func() string {
		p, ok := n.dir.Inbox()
		if partition = p; !ok {
			return "node " + n.id + " has no inbox"
		}
		return ""
	})
	return partition
}

// exclusive waits until every node has an inbox of its own, and all of them
// know whose is which.
func exclusive(t testing.TB, nodes ...*testNode) []int32 {
	t.Helper()
	var leased []int32
	eventually(t, 20*time.Second, func() string {
		leased = nil
		for _, n := range nodes {
			p, ok := n.dir.Inbox()
			if !ok || slices.Contains(leased, p) {
				return fmt.Sprintf("node %s has %d (%v), others %v", n.id, p, ok, leased)
			}
			leased = append(leased, p)
		}
		for _, asking := range nodes {
			for i, n := range nodes {
				got, alive, err := asking.dir.InboxOf(t.Context(), n.table.Incarnation())
				if err != nil || !alive || got != leased[i] {
					return fmt.Sprintf("%s says of %s: %d, %v, %v; want %d", asking.id, n.id, got, alive, err, leased[i])
				}
			}
		}
		return ""
	})
	return leased
}

func TestInboxesAreExclusive(t *testing.T) {
	s := redistest.Start(t)
	const n = 8
	nodes := make([]*testNode, n)
	var starting sync.WaitGroup
	for i := range nodes { // all at once, and none to spare
		starting.Go(func() { nodes[i] = inboxNode(t, s.URL(), fmt.Sprint("n", i), n) })
	}
	starting.Wait()
	leased := exclusive(t, nodes...)
	slices.Sort(leased)
	if !slices.Equal(leased, []int32{0, 1, 2, 3, 4, 5, 6, 7}) {
		t.Fatalf("leased %v of %d", leased, n)
	}
	if _, alive, err := nodes[0].dir.InboxOf(t.Context(), 0xdead); alive || err != nil {
		t.Errorf("a process that never was: alive %v, %v", alive, err)
	}
	// One too many is told what to do, and takes over from one that dies.
	late := inboxNode(t, s.URL(), "late", n)
	eventually(t, 10*time.Second, func() string {
		if !strings.Contains(late.log.String(), "all 8 partitions of limpet.inbox are leased") {
			return "the ninth node does not complain"
		}
		return ""
	})
	if p, ok := late.dir.Inbox(); ok {
		t.Fatalf("the ninth of 8 inboxes is %d", p)
	}
	eventually(t, 10*time.Second, func() string { // others learn of it at their next look
		if p, alive, err := nodes[0].dir.InboxOf(t.Context(), late.table.Incarnation()); p != noInbox || !alive || err != nil {
			return fmt.Sprintf("a node without inbox: %d, %v, %v", p, alive, err)
		}
		return ""
	})
	freed := nodes[3].inbox()
	nodes[3].stop() // as if killed
	if got := late.inbox(); got != freed {
		t.Errorf("it takes %d, want %d, the only one whose owner is dead", got, freed)
	}
	exclusive(t, append(nodes[:3:3], append(nodes[4:], late)...)...)
}

func TestInboxIsGivenBack(t *testing.T) {
	s := redistest.Start(t)
	a, b := inboxNode(t, s.URL(), "a", 2), inboxNode(t, s.URL(), "b", 2)
	exclusive(t, a, b)
	freed := a.inbox()
	if err := a.dir.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := a.dir.Inbox(); ok {
		t.Error("a node that has left holds an inbox")
	}
	c := inboxNode(t, s.URL(), "c", 2) // does not wait for any lease to end
	if got := c.inbox(); got != freed {
		t.Errorf("c has %d, want %d", got, freed)
	}
}

// A node that starts again under its id replaces its predecessor at once.
func TestInboxOfARestartedNode(t *testing.T) {
	s := redistest.Start(t)
	first := inboxNode(t, s.URL(), "a", 1)
	first.inbox()
	first.stop()
	if got := inboxNode(t, s.URL(), "a", 1).inbox(); got != 0 {
		t.Errorf("leased %d, want 0", got)
	}
}

// A node is frozen until its inbox is somebody else's. When it wakes it must
// not take it for its own.
func TestInboxOfAFrozenNode(t *testing.T) {
	s := redistest.Start(t)
	frozen := startChild(t, s.URL(), "frozen")
	had := frozen.ask("inbox")[0]
	frozen.signal(syscall.SIGSTOP)
	time.Sleep(quick("", "").Lease)
	var others []*testNode
	for i := 0; ; i++ { // until one of them has it
		n := inboxNode(t, s.URL(), fmt.Sprint("n", i), childInboxes)
		others = append(others, n)
		if strconv.Itoa(int(n.inbox())) == had {
			break
		}
	}
	frozen.signal(syscall.SIGCONT)
	taken := exclusive(t, others...)
	eventually(t, 15*time.Second, func() string {
		has := frozen.ask("inbox")[0]
		partition, err := strconv.Atoi(has)
		if err != nil || slices.Contains(taken, int32(partition)) {
			return fmt.Sprintf("the frozen node has inbox %s, the others %v", has, taken)
		}
		return ""
	})
}

// While a node lives, its inbox stays its own through whatever Redis suffers.
func TestInboxesSurviveRedis(t *testing.T) {
	for name, fault := range map[string]func(*redistest.Server){
		"restarts empty": func(s *redistest.Server) { s.Kill(); s.Restart() },
		"is frozen":      func(s *redistest.Server) { s.Freeze(); time.Sleep(2 * time.Second); s.Thaw() },
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t)
			a, b, c := inboxNode(t, s.URL(), "a", 4), inboxNode(t, s.URL(), "b", 4), inboxNode(t, s.URL(), "c", 4)
			before := exclusive(t, a, b, c)
			fault(s)
			for _, n := range []*testNode{a, b, c} {
				n.await(Joined)
			}
			if after := exclusive(t, a, b, c); !slices.Equal(before, after) {
				t.Errorf("leased %v, before %v: each should have kept its own", after, before)
			}
		})
	}
}

func TestInboxesWithoutRedis(t *testing.T) {
	s := redistest.Start(t)
	a := inboxNode(t, s.URL(), "a", 4)
	a.inbox()
	s.Freeze()
	a.await(Degraded)
	begun := time.Now()
	if _, _, err := a.dir.InboxOf(t.Context(), 1); !errors.Is(err, ErrDegraded) {
		t.Errorf("InboxOf: %v, want ErrDegraded", err)
	}
	if err := a.dir.Look(t.Context()); !errors.Is(err, ErrDegraded) {
		t.Errorf("Look: %v, want ErrDegraded", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the answers took %v", took)
	}
	eventually(t, 10*time.Second, func() string { // its lease may have ended, for all it knows
		if _, ok := a.dir.Inbox(); ok {
			return "still sure of its inbox"
		}
		return ""
	})
	s.Thaw()
	a.inbox()
}

func TestInboxesInACluster(t *testing.T) {
	c := redistest.StartCluster(t)
	a, b := inboxNode(t, c.URL(), "a", 2), inboxNode(t, c.URL(), "b", 2)
	exclusive(t, a, b)
	i := c.MasterOf(c.SlotOf(keyInboxes))
	c.Masters[i].Kill()
	c.AwaitFailover(i)
	a.await(Joined)
	b.await(Joined)
	exclusive(t, a, b)
	b.stop()
	if got := inboxNode(t, c.URL(), "c", 2).inbox(); got != b.dir.inbox.Load() {
		t.Errorf("c has %d, want that of b, %d", got, b.dir.inbox.Load())
	}
}

func TestInboxesWithSentinel(t *testing.T) {
	s := redistest.StartSentinel(t)
	a, b := inboxNode(t, s.URL(), "a", 2), inboxNode(t, s.URL(), "b", 2)
	exclusive(t, a, b)
	s.Master.Kill()
	s.AwaitFailover()
	exclusive(t, a, b)
}
