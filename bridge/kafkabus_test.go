package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// leases are the inboxes of the nodes of one test.
type leases struct {
	mu    sync.Mutex
	owner map[int32]uint64 // 0 is nobody
	down  error            // what Of and Look say
	nodes map[uint64]*lease
}

func newLeases() *leases { return &leases{owner: map[int32]uint64{}, nodes: map[uint64]*lease{}} }

// lease is the view of one incarnation.
type lease struct {
	*leases
	mine    uint64
	changed chan struct{}
}

// of returns the view of an incarnation that lives, with the first free
// partition leased to it if there is one below n.
func (l *leases) of(incarnation uint64, n int32) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &lease{l, incarnation, make(chan struct{}, 1)}
	l.nodes[incarnation] = v
	for p := range n {
		if l.owner[p] == 0 {
			l.owner[p] = incarnation
			break
		}
	}
	return v
}

// give leases a partition to an incarnation, whoever has it.
func (l *leases) give(partition int32, incarnation uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	former := l.nodes[l.owner[partition]]
	l.owner[partition] = incarnation
	for _, v := range []*lease{former, l.nodes[incarnation]} {
		if v == nil {
			continue
		}
		select {
		case v.changed <- struct{}{}:
		default:
		}
	}
}

func (l *leases) partitionOf(incarnation uint64) (int32, bool) {
	for p, owner := range l.owner {
		if owner == incarnation {
			return p, true
		}
	}
	return NoInbox, false
}

func (l *lease) Mine() (int32, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.partitionOf(l.mine)
}

func (l *lease) Changed() <-chan struct{} { return l.changed }

func (l *lease) Of(_ context.Context, incarnation uint64) (int32, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down != nil {
		return NoInbox, false, l.down
	}
	p, _ := l.partitionOf(incarnation)
	return p, l.nodes[incarnation] != nil, nil
}

func (l *lease) Look(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down
}

// kafkaNode is a node on a broker: bus, router and downlink, with a directory
// in memory.
type kafkaNode struct {
	*node
	router *Router
	bus    *KafkaBus
	stop   func()

	stopDownlink func()
}

// startNode joins a node. With a nil directory it is one among others that
// knows nothing of them.
func startNode(t testing.TB, b *testBroker, incarnation uint64, dir Directory, inboxes Inboxes) *kafkaNode {
	t.Helper()
	return startLogging(t, b, incarnation, dir, inboxes, nil)
}

// startLogging is startNode with a log.
func startLogging(t testing.TB, b *testBroker, incarnation uint64, dir Directory, inboxes Inboxes, log *slog.Logger) *kafkaNode {
	t.Helper()
	kafka := b.kafka()
	kafka.Logger = log
	bus, err := NewKafkaBus(testContext(t), KafkaBusConfig{Kafka: kafka, Topics: b.topics, Incarnation: incarnation, Inboxes: inboxes})
	if err != nil {
		t.Fatal(err)
	}
	n := &kafkaNode{node: newNode(), bus: bus}
	n.router = newTestRouter(t, RouterConfig{Incarnation: incarnation, Local: n.node, Directory: dir, Bus: bus})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- bus.Run(ctx, n.router) }()
	_, n.stopDownlink = startRouted(t, kafka, b.topics, n.router)
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			n.stopDownlink()
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("bus: %v", err)
			}
		})
	}
	t.Cleanup(n.stop)
	return n
}

func TestKafkaBusBetweenNodes(t *testing.T) {
	broker := startBroker(t)
	dir := &wires{users: map[string][]uint64{"a": {1}, "b": {2}, "c": {3}, "ghost": {9}}, groups: map[string][]uint64{"g": {1, 3}}}
	l := newLeases()
	var nodes []*kafkaNode
	for i := range uint64(3) {
		n := startNode(t, broker, i+1, dir, l.of(i+1, 8))
		n.online["user:"+string(rune('a'+i))] = true
		n.online["group:g"] = i != 1
		nodes = append(nodes, n)
	}
	publish(t, broker, pushTo(t, "user:a", "1"), pushTo(t, "user:b", "2"), pushTo(t, "user:c", "3"),
		pushTo(t, "group:g", "4"), pushTo(t, "all", "5"), pushTo(t, "user:ghost", "6"), pushTo(t, "user:nobody", "7"))
	want := [][]string{
		{"all=5", "group:g=4", "user:a=1"},
		{"all=5", "user:b=2"},
		{"all=5", "group:g=4", "user:c=3"},
	}
	offline := func() (n uint64) {
		for _, node := range nodes {
			n += node.router.Stats().Offline
		}
		return n
	}
	eventually(t, "everything is delivered", func() bool {
		for i, n := range nodes {
			if len(n.received()) < len(want[i]) {
				return false
			}
		}
		return offline() >= 2
	})
	for i, n := range nodes {
		got := n.received()
		slices.Sort(got)
		if diff := cmp.Diff(want[i], got); diff != "" {
			t.Errorf("node %d (-want +got):\n%s", i+1, diff)
		}
	}
	if n := offline(); n != 2 {
		t.Errorf("%d pushes counted as offline, want 2", n)
	}
}

// Without a directory and leases every node is given everything.
func TestKafkaBusWithoutDirectory(t *testing.T) {
	broker := startBroker(t)
	one := startNode(t, broker, 1, nil, nil)
	two := startNode(t, broker, 2, nil, nil)
	one.online["user:a"], two.online["user:b"] = true, true
	publish(t, broker, pushTo(t, "user:a", "1"), pushTo(t, "user:b", "2"))
	eventually(t, "both are delivered", func() bool { return len(one.received()) == 1 && len(two.received()) == 1 })
}

// order fails the test unless the numbered payloads of each target grow: none
// came late, and none twice.
func order(t *testing.T, received []string) {
	t.Helper()
	last := map[string]string{}
	for i, r := range received {
		target, payload, _ := strings.Cut(r, "=")
		if payload <= last[target] {
			t.Fatalf("%s: %s after %s; it was there before: %v", target, payload, last[target], slices.Contains(received[:i], r))
		}
		last[target] = payload
	}
}

// Nodes come and go while pushes are routed: each push arrives, and none twice.
// The order of a principal's pushes is kept on each way, what the node of its
// session consumes itself and what another one forwards: where a partition changes
// hands one way may overtake the other.
func TestRebalanceWhileRouting(t *testing.T) {
	broker := startBroker(t)
	dir := &wires{users: map[string][]uint64{}}
	l := newLeases()
	owner := startNode(t, broker, 1, dir, l.of(1, 8))
	const users, rounds, each = 10, 4, 25
	for u := range users {
		name := fmt.Sprintf("u%d", u)
		dir.users[name] = []uint64{1}
		owner.online["user:"+name] = true
	}
	sequence := 0
	for round := range rounds {
		other := startNode(t, broker, uint64(round+2), dir, l.of(uint64(round+2), 8))
		for range each {
			sequence++
			var records []*kgo.Record
			for u := range users {
				records = append(records, pushTo(t, fmt.Sprintf("user:u%d", u), numbered(sequence)))
			}
			publish(t, broker, records...)
		}
		other.stop()
	}
	eventually(t, "all pushes are delivered", func() bool { return len(owner.received()) >= users*rounds*each })
	forwarded, own := owner.ways()
	order(t, forwarded)
	order(t, own)
	received := owner.received()
	all := len(received)
	slices.Sort(received)
	if different := len(slices.Compact(received)); all != users*rounds*each || different != all {
		t.Errorf("%d pushes delivered, %d of them different; want %d", all, different, users*rounds*each)
	}
}
