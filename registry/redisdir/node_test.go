package redisdir

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/logtest"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// quick is a configuration whose times are a tenth of the real ones.
func quick(url, node string) Config {
	return Config{
		URL: url, Node: node, Expect: 10_000,
		Lease: 1200 * time.Millisecond, Renew: 200 * time.Millisecond, View: 100 * time.Millisecond, Poll: 20 * time.Millisecond,
		CallTimeout: 250 * time.Millisecond, Probe: 50 * time.Millisecond, ClockSlack: 100 * time.Millisecond,
		Queue: 1 << 16, Audit: -1,
	}
}

// testNode is a node without sockets: a table, its directory, and what a
// reactor would do with displaced sessions.
type testNode struct {
	t     testing.TB
	id    string
	table *registry.Table
	dir   *Directory
	log   *logtest.Log

	run  func()
	stop func() // as if the process were killed

	mu        sync.Mutex
	nextSlot  uint32
	refs      map[session.ID]registry.Ref
	displaced []session.ID
}

var processes struct {
	sync.Mutex
	last uint64
}

func newProcess() uint64 {
	processes.Lock()
	defer processes.Unlock()
	processes.last++
	return 0xabc0000 + processes.last
}

func startNode(t testing.TB, c Config, limit int) *testNode {
	t.Helper()
	n := prepareNode(t, c, limit)
	n.run()
	return n
}

// prepareNode leaves out the start, which is run.
func prepareNode(t testing.TB, c Config, limit int) *testNode {
	t.Helper()
	n := &testNode{
		t: t, id: c.Node, log: new(logtest.Log), refs: map[session.ID]registry.Ref{},
		table: registry.NewTable(registry.Config{Incarnation: newProcess(), MaxPerPrincipal: limit}),
	}
	c.Displaced = n.close
	c.Log = slog.New(slog.NewTextHandler(n.log, nil)).With("node", c.Node)
	dir, err := New(c, n.table)
	if err != nil {
		t.Fatal(err)
	}
	n.dir = dir
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	n.run = func() {
		go func() {
			defer close(ended)
			_ = dir.Run(ctx)
		}()
	}
	n.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(func() {
		n.stop()
		if t.Failed() {
			t.Logf("log of node %s:\n%s", n.id, n.log)
		}
	})
	return n
}

func joinedNode(t testing.TB, c Config, limit int) *testNode {
	t.Helper()
	n := startNode(t, c, limit)
	n.await(Joined)
	return n
}

func (n *testNode) await(s State) {
	n.t.Helper()
	eventually(n.t, 15*time.Second, func() string {
		if got := n.dir.State(); got != s {
			return fmt.Sprintf("node %s is %s, want %s", n.id, got, s)
		}
		return ""
	})
}

func (n *testNode) open(principal string, groups ...string) session.ID {
	n.t.Helper()
	n.mu.Lock()
	n.nextSlot++
	id := session.ID{Incarnation: n.table.Incarnation(), Slot: n.nextSlot, Generation: 1}
	n.mu.Unlock()
	added, err := n.table.Add([]byte(principal), id)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, group := range groups {
		if err := n.table.Join(added.Ref, []byte(group)); err != nil {
			n.t.Fatal(err)
		}
	}
	n.mu.Lock()
	n.refs[id] = added.Ref
	n.mu.Unlock()
	for _, old := range added.Displaced {
		n.close(old)
	}
	return id
}

// close is what the reactor does when it is told to close a session that has
// been displaced.
func (n *testNode) close(id session.ID) {
	n.mu.Lock()
	n.displaced = append(n.displaced, id)
	n.mu.Unlock()
	n.end(id)
}

func (n *testNode) end(id session.ID) {
	n.mu.Lock()
	ref, ok := n.refs[id]
	delete(n.refs, id)
	n.mu.Unlock()
	if ok {
		n.table.Remove(ref)
	}
}

func (n *testNode) wasDisplaced(id session.ID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.displaced, id)
}

func (n *testNode) settled() {
	n.t.Helper()
	eventually(n.t, 15*time.Second, func() string {
		if w := n.dir.waiting(); w > 0 {
			return fmt.Sprintf("%d changes of node %s are not written", w, n.id)
		}
		return ""
	})
}

// find is a lookup as "node session" strings, sorted. While the node is
// getting over a fault, it waits.
func (n *testNode) find(principal string) []string {
	n.t.Helper()
	var found []string
	eventually(n.t, 10*time.Second, func() string {
		found = []string{}
		if err := n.dir.Lookup(n.t.Context(), []string{principal}, func(_ int, l Location) {
			found = append(found, l.Node.ID+" "+l.Session.ID.String())
		}); err != nil {
			return err.Error()
		}
		return ""
	})
	slices.Sort(found)
	return found
}

func at(n *testNode, id session.ID) string { return n.id + " " + id.String() }

func eventually(t testing.TB, limit time.Duration, wrong func() string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		problem := wrong()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", limit, problem)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// agree waits until the directory and the tables of all live nodes say exactly
// the same.
func agree(t testing.TB, url string, nodes ...*testNode) {
	t.Helper()
	ctx := context.Background()
	var r *Reader
	eventually(t, 10*time.Second, func() string {
		var err error
		if r, err = Open(ctx, url); err != nil {
			return err.Error()
		}
		return ""
	})
	defer r.Close()
	tables := map[string]NodeTable{}
	for _, n := range nodes {
		tables[n.id] = localTable{n.table}
	}
	eventually(t, 20*time.Second, func() string {
		for _, n := range nodes {
			if n.dir.State() != Joined || n.dir.waiting() > 0 {
				return fmt.Sprintf("node %s is %s with %d changes waiting", n.id, n.dir.State(), n.dir.waiting())
			}
		}
		known, err := r.Nodes(ctx)
		if err != nil {
			return err.Error()
		}
		for _, n := range nodes { // one that has not noticed yet that it lost its lease agrees with nothing
			if !slices.ContainsFunc(known, func(k Node) bool { return k.Alive && k.Incarnation == n.dir.Stats().Incarnation }) {
				return fmt.Sprintf("node %s is not alive in the directory: %v", n.id, known)
			}
		}
		wrong, err := Check(ctx, r, tables, 1, 0)
		if err != nil {
			return err.Error()
		}
		if len(wrong) > 0 {
			return fmt.Sprintf("%d disagreements, first %v", len(wrong), wrong[0])
		}
		return ""
	})
}

// lostRecorder is a LostSink that remembers.
type lostRecorder struct {
	mu   sync.Mutex
	seen map[session.ID]int
	hook func([]registry.LostSession) error // may be nil
}

func newLostRecorder() *lostRecorder { return &lostRecorder{seen: map[session.ID]int{}} }

func (r *lostRecorder) Lost(_ context.Context, lost []registry.LostSession) error {
	if r.hook != nil {
		if err := r.hook(lost); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range lost {
		r.seen[l.Session.ID]++
	}
	return nil
}

func (r *lostRecorder) counts() map[session.ID]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := map[session.ID]int{}
	for id, n := range r.seen {
		m[id] = n
	}
	return m
}

// keysLeft returns what stands in buckets.
func keysLeft(s *redistest.Server) []string {
	var left []string
	for key := range strings.FieldsSeq(s.Must("KEYS", "lp:{?:*")) {
		left = append(left, key)
	}
	return left
}

// localTable is a table in this process.
type localTable struct{ *registry.Table }

func (t localTable) Walk(ctx context.Context, visit func(string, registry.Session)) error {
	t.Table.Walk(func(e registry.Entry) bool {
		visit(string(e.Principal), e.Session)
		return ctx.Err() == nil
	})
	return ctx.Err()
}

func (t localTable) WalkGroups(ctx context.Context, visit func(string, int)) error {
	t.Table.WalkGroups(func(name []byte, members int) bool {
		visit(string(name), members)
		return ctx.Err() == nil
	})
	return ctx.Err()
}
