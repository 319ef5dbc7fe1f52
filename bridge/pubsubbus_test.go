package bridge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/limpet-gateway/limpet/internal/session"
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
	want := []Result{{Outcome: Outcome{Delivered: 1}}, {Outcome: Outcome{Offline: 1}, Forwarded: 1}, {Spread: true}, {Outcome: Outcome{Offline: 1}, Why: BecauseOffline}}
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
	if diff := cmp.Diff(p, got, cmp.AllowUnexported(Push{})); diff != "" {
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
