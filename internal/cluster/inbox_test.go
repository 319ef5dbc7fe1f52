package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/embedded"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/registry/redisdir"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

const patience = 20 * time.Second

// node is a gateway without sockets: table, directory, bus and router over a
// real Redis and a real broker.
type node struct {
	t         *testing.T
	name      string
	table     *registry.Table
	directory *redisdir.Directory
	inboxes   *Inboxes
	bus       *bridge.KafkaBus
	router    *bridge.Router

	mu  sync.Mutex
	got []string // principal=payload
}

var processes uint64 = 0xbe0000

func start(t *testing.T, name, redis, broker string) *node {
	t.Helper()
	processes++
	n := &node{t: t, name: name, table: registry.NewTable(registry.Config{Incarnation: processes})}
	var err error
	n.directory, err = redisdir.New(redisdir.Config{
		URL: redis, Node: name, Lease: 1500 * time.Millisecond, Renew: 200 * time.Millisecond, View: 100 * time.Millisecond,
		CallTimeout: 250 * time.Millisecond, Probe: 50 * time.Millisecond, ClockSlack: 100 * time.Millisecond,
		Displaced: func(session.ID) {}, Log: slog.New(slog.DiscardHandler),
	}, n.table)
	if err != nil {
		t.Fatal(err)
	}
	n.inboxes = NewInboxes(n.directory)
	ctx, cancel := context.WithCancel(context.Background())
	n.bus, err = bridge.NewKafkaBus(ctx, bridge.KafkaBusConfig{
		Kafka: bridge.Kafka{Brokers: []string{broker}}, Incarnation: processes, Inboxes: n.inboxes,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.inboxes.Lease(redisdir.InboxTopic{Name: "limpet.inbox", Partitions: n.bus.InboxPartitions()})
	n.router, err = bridge.NewRouter(bridge.RouterConfig{
		Incarnation: processes, Local: n, Directory: New(n.directory, n.table, name), Bus: n.bus,
	})
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = n.directory.Run(ctx) })
	tasks.Go(func() { _ = n.bus.Run(ctx, n.router) })
	t.Cleanup(func() {
		cancel()
		tasks.Wait()
	})
	return n
}

// open adds a session to the node's table.
func (n *node) open(principal string, slot uint32) {
	n.t.Helper()
	id := session.ID{Incarnation: n.table.Incarnation(), Slot: slot, Generation: 1}
	if _, err := n.table.Add([]byte(principal), id); err != nil {
		n.t.Fatal(err)
	}
}

// User implements bridge.Local.
func (n *node) User(principal string, p *bridge.Push) bridge.Outcome {
	if len(n.table.AppendEntries(nil, []byte(principal))) == 0 {
		return bridge.Outcome{Offline: 1}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got = append(n.got, principal+"="+string(p.Payload))
	return bridge.Outcome{Delivered: 1}
}

func (*node) Session(session.ID, *bridge.Push) bridge.Outcome { return bridge.Outcome{Offline: 1} }
func (*node) Group(string, *bridge.Push) bridge.Outcome       { return bridge.Outcome{Offline: 1} }
func (*node) All(*bridge.Push) bridge.Outcome                 { return bridge.Outcome{Offline: 1} }

func (n *node) received() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.got)
}

// push routes a push for a principal from this node.
func (n *node) push(principal, payload string) bridge.Result {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	p := &bridge.Push{To: bridge.Target{Kind: bridge.ToUser, Name: principal}, Opcode: session.Text, Payload: []byte(payload)}
	results, err := n.router.Route(ctx, []*bridge.Push{p})
	if err != nil {
		n.t.Fatal(err)
	}
	return results[0]
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// A node is cut off from Redis, and not from Kafka nor its clients, until its
// inbox is another node's. It goes on reading there, and must leave alone what
// it reads; when Redis is back it has another inbox, and is reached again.
func TestNodeCutOffFromRedisLosesItsInbox(t *testing.T) {
	redis := redistest.Start(t)
	broker, err := embedded.Start(embedded.Config{Topics: []embedded.Topic{{Name: "limpet.inbox", Partitions: 3}, {Name: "limpet.broadcast", Partitions: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	cut := redistest.StartProxy(t, redis)
	inbox := func(n *node) (partition int32) {
		eventually(t, n.name+" has an inbox", func() bool {
			p, ok := n.inboxes.Mine()
			partition = p
			return ok
		})
		return partition
	}
	a, b := start(t, "a", redis.URL(), broker.Addr()), start(t, "b", cut.URL(), broker.Addr())
	inbox(a)
	had := inbox(b)
	b.open("bob", 1)
	b.open("carl", 2) // whose old session b does not know to be dead
	eventually(t, "bob is reached", func() bool { return a.push("bob", "1").Forwarded == 1 && len(b.received()) > 0 })

	cut.Delay(3 * time.Second) // each answer, which is too late
	eventually(t, "b is dead for a", func() bool {
		_, alive, err := a.inboxes.Of(t.Context(), b.table.Incarnation())
		return err == nil && !alive
	})
	c := start(t, "c", redis.URL(), broker.Addr())
	if got := inbox(c); got != had {
		t.Fatalf("c has inbox %d, want %d, that of b", got, had)
	}
	c.open("carl", 1)
	eventually(t, "carl is on c", func() bool { return a.push("carl", "found").Forwarded == 1 })
	var forwarded []string // and not sent to all, because Redis was slow for a too
	sent := 0
	eventually(t, "20 pushes are forwarded", func() bool {
		sent++
		if payload := fmt.Sprint(sent); a.push("carl", payload).Forwarded == 1 {
			forwarded = append(forwarded, "carl="+payload)
		}
		return len(forwarded) == 20
	})
	eventually(t, "c has them all", func() bool {
		got := c.received()
		return !slices.ContainsFunc(forwarded, func(f string) bool { return !slices.Contains(got, f) })
	})
	eventually(t, "b has read them too", func() bool { return b.bus.Stats().Ignored > 0 })
	for _, got := range b.received() {
		if slices.Contains(forwarded, got) {
			t.Errorf("b delivered %s, which was for c", got)
		}
	}

	cut.Delay(0)
	cut.Cut()
	eventually(t, "b has an inbox of its own", func() bool {
		p, ok := b.inboxes.Mine()
		return ok && p != had
	})
	eventually(t, "bob is reached again", func() bool {
		a.push("bob", "again")
		return slices.Contains(b.received(), "bob=again")
	})
	if got, ok := c.inboxes.Mine(); !ok || got != had {
		t.Errorf("c has inbox %d, %v; want %d still", got, ok, had)
	}
}
