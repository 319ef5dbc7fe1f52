package bridge

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/internal/tracing"
)

// memoryPubSub is a PubSub within the process.
type memoryPubSub struct {
	mu   sync.Mutex
	subs map[string][]chan []byte
}

func (m *memoryPubSub) Publish(_ context.Context, channel string, message []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.subs[channel] {
		s <- message
	}
	return len(m.subs[channel]), nil
}

func (m *memoryPubSub) Subscribe(ctx context.Context, channels []string, ready func(), receive func([]byte)) error {
	mine := make(chan []byte, 1000)
	m.mu.Lock()
	for _, c := range channels {
		m.subs[c] = append(m.subs[c], mine)
	}
	m.mu.Unlock()
	ready()
	for {
		select {
		case message := <-mine:
			receive(message)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestPubSubBusBetweenNodes(t *testing.T) {
	transport := &memoryPubSub{subs: map[string][]chan []byte{}}
	dir := &wires{users: map[string][]uint64{"a": {1}, "b": {2}, "ghost": {9}}, groups: map[string][]uint64{}}
	var nodes []*node
	var routers []*Router
	var stops []func()
	for i := range uint64(2) {
		bus := NewPubSubBus(transport, "limpet.", i+1, nil)
		n := newNode()
		r := newTestRouter(t, RouterConfig{Incarnation: i + 1, Local: n, Directory: dir, Bus: bus})
		ctx, cancel := context.WithCancel(context.Background())
		ready, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- bus.Run(ctx, r, func() { close(ready) }) }()
		<-ready
		stop := sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		t.Cleanup(stop)
		stops, nodes, routers = append(stops, stop), append(nodes, n), append(routers, r)
	}
	nodes[0].online["user:a"], nodes[1].online["user:b"] = true, true
	pushes := []Push{to(t, "user:a", "1"), to(t, "user:b", "2"), to(t, "all", "3"), to(t, "user:ghost", "4")}
	results, err := routers[0].Route(testContext(t), []*Push{&pushes[0], &pushes[1], &pushes[2], &pushes[3]})
	if err != nil {
		t.Fatal(err)
	}
	want := []Result{{Outcome: Outcome{Delivered: 1}}, {Forwarded: 1}, {Spread: true}, {Outcome: Outcome{Offline: 1}, Why: BecauseOffline}}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	for i, want := range [][]string{{"all=3", "user:a=1"}, {"all=3", "user:b=2"}} {
		eventually(t, "everything is delivered", func() bool { return len(nodes[i].received()) >= 2 })
		got := nodes[i].received()
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("node %d (-want +got):\n%s", i+1, diff)
		}
	}
	stops[0]()
	p := to(t, "user:b", "late")
	if _, err := routers[0].Route(testContext(t), []*Push{&p}); !errors.Is(err, ErrBusClosed) {
		t.Errorf("after the end of the bus: %v, want ErrBusClosed", err)
	}
}

func TestBusMessage(t *testing.T) {
	p := &Push{
		To: Target{Kind: ToUser, Name: "a"}, ID: "i", Opcode: session.Binary, Priority: session.Low, Payload: []byte{0, 1, 2},
		Expires: time.Now().Add(time.Minute), Control: Join, Group: "g", origin: "3/17", hops: 2, spread: true,
	}
	message := appendPush(nil, p)
	got, err := parseMessage(message)
	if err != nil {
		t.Fatal(err)
	}
	if d := got.Expires.Sub(p.Expires); d < -2*time.Millisecond || d > 2*time.Millisecond {
		t.Errorf("it expires %v later", d)
	}
	got.Expires = p.Expires
	if diff := cmp.Diff(p, got, cmp.AllowUnexported(Push{}), cmpopts.EquateComparable(tracing.Trace{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for n := range len(message) - len(p.Payload) { // whatever is cut off its head
		if _, err := parseMessage(message[:n]); err == nil {
			t.Errorf("the first %d bytes are taken for a message", n)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add(appendPush(nil, &Push{To: Target{Kind: ToAll}, Opcode: session.Text, Payload: []byte("x")}))
	f.Add([]byte{messageVersion, 0, 31, 255, 255, 255, 255, 15})
	// It does not panic, and what it accepts has a target.
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := parseMessage(data); err == nil && p.To.Kind == 0 {
			t.Errorf("%x: no target", data)
		}
	})
}

// stuckPubSub does not answer, as a server that hangs, until it is told to.
type stuckPubSub struct {
	memoryPubSub
	stuck atomic.Bool
	tried atomic.Int64
}

func (s *stuckPubSub) Publish(ctx context.Context, channel string, message []byte) (int, error) {
	if s.stuck.Load() {
		s.tried.Add(1)
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return s.memoryPubSub.Publish(ctx, channel, message)
}

// runPubSub runs a bus until the test ends.
func runPubSub(t *testing.T, bus *PubSubBus, r *Router) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- bus.Run(ctx, r, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// The server hangs while pushes come in: they fail, in bounded time and memory,
// those on this node are delivered all the same, and it goes on afterwards.
func TestPubSubBusHangs(t *testing.T) {
	transport := &stuckPubSub{memoryPubSub: memoryPubSub{subs: map[string][]chan []byte{}}}
	transport.stuck.Store(true)
	bus := NewPubSubBus(transport, "limpet.", 1, nil)
	local := newNode("user:here")
	dir := &wires{users: map[string][]uint64{"here": {1}, "there": {2}}, groups: map[string][]uint64{}}
	router := newTestRouter(t, RouterConfig{Incarnation: 1, Local: local, Directory: dir, Bus: bus})
	runPubSub(t, bus, router)

	const pushes = 1000
	p := to(t, "user:there", strings.Repeat("x", 64<<10))
	var settled, succeeded atomic.Int64
	for range pushes { // four times what there is room for
		bus.Forward(testContext(t), 2, &p, func(err error) {
			settled.Add(1)
			if err == nil {
				succeeded.Add(1)
			}
		})
		if n := bus.waiting.Load(); n > pubSubBytes {
			t.Fatalf("%d bytes wait, at most %d may", n, pubSubBytes)
		}
	}
	eventually(t, "every push is settled", func() bool { return settled.Load() == pushes })
	if s := bus.Stats(); succeeded.Load() != 0 || s.Refused == 0 || s.Failed == 0 || s.Refused+s.Failed != pushes {
		t.Errorf("%d succeeded, stats %+v, want %d failed or refused", succeeded.Load(), s, pushes)
	}
	if n := transport.tried.Load(); n > pubSubSenders {
		t.Errorf("%d were tried one after the other, at most %d should have been", n, pubSubSenders)
	}
	all := to(t, "all", "here")
	results, err := router.Route(testContext(t), []*Push{&all})
	if err != nil || results[0].Delivered != 1 {
		t.Errorf("to all, while nobody else is reached: %+v, %v", results, err)
	}

	transport.stuck.Store(false)
	other := NewPubSubBus(transport, "limpet.", 2, nil)
	there := newNode("user:there")
	runPubSub(t, other, newTestRouter(t, RouterConfig{Incarnation: 2, Local: there, Directory: dir, Bus: other}))
	eventually(t, "pushes arrive again", func() bool {
		again := to(t, "user:there", "again")
		_, err := router.Route(testContext(t), []*Push{&again})
		return err == nil && len(there.received()) > 0
	})
	if n := bus.waiting.Load(); n != 0 {
		t.Errorf("%d bytes wait in an idle bus", n)
	}
}

// More arrives than the node can deliver: it is dropped and counted, in bounded
// memory, and does not hold up the transport.
func TestPubSubBusIsBehind(t *testing.T) {
	transport := &memoryPubSub{subs: map[string][]chan []byte{}}
	bus := NewPubSubBus(transport, "limpet.", 1, nil)
	gate := make(chan struct{})
	local := &slowLocal{node: newNode("user:a"), gate: gate}
	runPubSub(t, bus, newTestRouter(t, RouterConfig{Incarnation: 1, Local: local, Bus: bus, DedupWindow: -1}))
	p := to(t, "user:a", strings.Repeat("x", 64<<10))
	message := appendPush(nil, &p)
	const pushes = 1000
	for range pushes {
		bus.receive(message)
		if n := bus.arriving.Load(); n > arrivalsBytes {
			t.Fatalf("%d bytes wait, at most %d may", n, arrivalsBytes)
		}
	}
	close(gate)
	eventually(t, "what was taken is delivered", func() bool { return len(local.received()) > 0 && bus.arriving.Load() == 0 })
	if got, s := uint64(len(local.received())), bus.Stats(); s.Refused == 0 || got+s.Refused != pushes {
		t.Errorf("%d delivered, %d dropped, of %d", got, s.Refused, pushes)
	}
}

// slowLocal waits for a gate.
type slowLocal struct {
	*node
	gate chan struct{}
}

func (s *slowLocal) User(name string, p *Push) Outcome {
	<-s.gate
	return s.node.User(name, p)
}
