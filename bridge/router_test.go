package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/limpet-gateway/limpet/internal/session"
)

// wires is a bus and a directory in memory for routers that are numbered from
// 1. What is put on it arrives when step is called.
type wires struct {
	mu      sync.Mutex
	routers map[uint64]*Router
	users   map[string][]uint64
	groups  map[string][]uint64
	down    error // of the directory
	closed  bool
	queue   []wired
}

type wired struct {
	to uint64
	p  Push
}

func (w *wires) answers(of map[string][]uint64, names []string) ([][]Place, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down != nil {
		return nil, w.down
	}
	var all [][]Place
	for _, name := range names {
		var places []Place
		for _, incarnation := range of[name] {
			places = append(places, Place{fmt.Sprint("n", incarnation), incarnation})
		}
		all = append(all, places)
	}
	return all, nil
}

func (w *wires) Users(_ context.Context, names []string) ([][]Place, error) {
	return w.answers(w.users, names)
}

func (w *wires) Groups(_ context.Context, names []string) ([][]Place, error) {
	return w.answers(w.groups, names)
}

func (w *wires) Forward(ctx context.Context, to uint64, p *Push, done func(error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		done(ErrBusClosed)
	case w.routers[to] == nil:
		done(ErrNodeGone)
	default:
		w.queue = append(w.queue, wired{to, *p})
		done(nil)
	}
}

func (w *wires) Broadcast(ctx context.Context, p *Push, done func(error)) {
	for to := range w.routers {
		w.Forward(ctx, to, p, func(error) {})
	}
	done(nil)
}

// step delivers all that is on the bus, and what follows from it.
func (w *wires) step(t *testing.T) {
	t.Helper()
	for {
		w.mu.Lock()
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, m := range queue {
			if err := w.routers[m.to].Arrived(context.Background(), []*Push{&m.p}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// memoryCluster is n routers with a node each.
type memoryCluster struct {
	*wires
	nodes       []*node // by incarnation - 1
	undelivered []string
}

func newMemoryCluster(t *testing.T, n int) *memoryCluster {
	t.Helper()
	c := &memoryCluster{wires: &wires{routers: map[uint64]*Router{}, users: map[string][]uint64{}, groups: map[string][]uint64{}}}
	for i := range n {
		local := newNode()
		c.nodes = append(c.nodes, local)
		c.routers[uint64(i+1)] = newTestRouter(t, RouterConfig{
			Incarnation: uint64(i + 1), Local: local, Controller: local, Directory: c.wires, Bus: c.wires, GroupFanOut: 2,
			OnUndelivered: func(p *Push, why Undelivered) {
				c.undelivered = append(c.undelivered, fmt.Sprintf("%s %s", p.To, why))
			},
		})
	}
	return c
}

// online puts target on nodes, and into the directory if it can be there.
func (c *memoryCluster) online(target string, nodes ...uint64) {
	for _, n := range c.nodes {
		n.online[target] = target == "all"
	}
	for _, n := range nodes {
		c.nodes[n-1].online[target] = true
	}
	if to, _ := ParseTarget(target); to.Kind == ToUser {
		c.users[to.Name] = nodes
	} else if to.Kind == ToGroup {
		c.groups[to.Name] = nodes
	}
}

// got returns who received what, as node:target=payload, sorted.
func (c *memoryCluster) got() (all []string) {
	for i, n := range c.nodes {
		for _, g := range n.received() {
			all = append(all, fmt.Sprintf("%d:%s", i+1, g))
		}
	}
	slices.Sort(all)
	return all
}

// route sends a push from node from and returns its result.
func (c *memoryCluster) route(t *testing.T, from uint64, p Push) Result {
	t.Helper()
	results, err := c.routers[from].Route(context.Background(), []*Push{&p})
	if err != nil {
		t.Fatal(err)
	}
	c.step(t)
	return results[0]
}

func to(t *testing.T, target, payload string) Push {
	t.Helper()
	parsed, err := ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	return Push{To: parsed, Opcode: session.Text, Payload: []byte(payload)}
}

func TestRouteReachesEachSessionOnce(t *testing.T) {
	far := "session:" + session.ID{Incarnation: 3, Slot: 1, Generation: 1}.String()
	near := "session:" + session.ID{Incarnation: 1, Slot: 1, Generation: 1}.String()
	gone := "session:" + session.ID{Incarnation: 9, Slot: 1, Generation: 1}.String()
	for _, c := range []struct {
		name, target string
		nodes        []uint64
		want         Result
		undelivered  []string
	}{
		{"user here", "user:a", []uint64{1}, Result{Outcome: Outcome{Delivered: 1}}, nil},
		{"user elsewhere", "user:a", []uint64{3}, Result{Forwarded: 1}, nil},
		{"user on several nodes", "user:a", []uint64{1, 4}, Result{Outcome: Outcome{Delivered: 1}, Forwarded: 1}, nil},
		{"user on several nodes, none here", "user:a", []uint64{2, 4}, Result{Forwarded: 2}, nil},
		{"user nowhere", "user:a", nil, Result{Outcome: Outcome{Offline: 1}, Why: BecauseOffline}, []string{"user:a offline"}},
		{"session here", near, []uint64{1}, Result{Outcome: Outcome{Delivered: 1}}, nil},
		{"session elsewhere", far, []uint64{3}, Result{Forwarded: 1}, nil},
		{"session that ended elsewhere", far, nil, Result{Forwarded: 1}, []string{far + " offline"}},
		{"session of a dead node", gone, nil, Result{Why: BecauseOffline}, []string{gone + " offline"}},
		{"group of few nodes", "group:g", []uint64{2, 3}, Result{Forwarded: 2}, nil},
		{"group of many nodes", "group:g", []uint64{1, 2, 3, 4}, Result{Spread: true}, nil},
		{"group without members", "group:g", nil, Result{Outcome: Outcome{Offline: 1}, Why: BecauseOffline}, []string{"group:g offline"}},
		{"all", "all", []uint64{1, 2, 3, 4}, Result{Spread: true}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := newMemoryCluster(t, 4)
			cluster.online(c.target, c.nodes...)
			if diff := cmp.Diff(c.want, cluster.route(t, 1, to(t, c.target, "x"))); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			var want []string
			for _, n := range c.nodes {
				want = append(want, fmt.Sprintf("%d:%s=x", n, c.target))
			}
			if diff := cmp.Diff(want, cluster.got()); diff != "" {
				t.Errorf("received (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.undelivered, cluster.undelivered); diff != "" {
				t.Errorf("undelivered (-want +got):\n%s", diff)
			}
		})
	}
}

// The directory is behind: the principal has moved on, once or for ever.
func TestRouteFollowsAPrincipalThatMoves(t *testing.T) {
	c := newMemoryCluster(t, 3)
	c.online("user:a", 2)
	push := to(t, "user:a", "x")
	if _, err := c.routers[1].Route(context.Background(), []*Push{&push}); err != nil {
		t.Fatal(err)
	}
	c.online("user:a", 3) // while the push is on its way
	c.step(t)
	if diff := cmp.Diff([]string{"3:user:a=x"}, c.got()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Entries that never were true send a push around, but not for ever.
	c = newMemoryCluster(t, 3)
	c.users["a"] = []uint64{2}
	push = to(t, "user:a", "x")
	if _, err := c.routers[1].Route(context.Background(), []*Push{&push}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c.wires.mu.Lock()
		queue := c.queue
		c.queue = nil
		c.wires.mu.Unlock()
		for _, m := range queue {
			c.users["a"] = []uint64{5 - m.to} // always the other one of 2 and 3
			if err := c.routers[m.to].Arrived(context.Background(), []*Push{&m.p}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(c.queue) > 0 || len(c.got()) > 0 || len(c.undelivered) != 1 {
		t.Errorf("%d still under way, received %v, undelivered %v; want one undelivered", len(c.queue), c.got(), c.undelivered)
	}
}

func TestRouteDeliversDuplicatesOnce(t *testing.T) {
	c := newMemoryCluster(t, 3)
	c.online("user:a", 2)
	c.online("user:b", 2)
	for range 3 {
		for from := uint64(1); from <= 3; from++ { // a redelivery may come by another node
			p := to(t, "user:a", "x")
			p.ID = "id-1"
			c.route(t, from, p)
			q := to(t, "all", "y")
			q.origin = "0/17"
			c.route(t, from, q)
		}
	}
	other := to(t, "user:b", "z")
	other.ID = "id-1" // for somebody else: not a duplicate
	c.route(t, 1, other)
	want := []string{"1:all=y", "2:all=y", "2:user:a=x", "2:user:b=z", "3:all=y"}
	if diff := cmp.Diff(want, c.got()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(c.undelivered) != 0 {
		t.Errorf("duplicates are reported as undelivered: %v", c.undelivered)
	}
	// What found nobody is not remembered: it may come again when they are there.
	late := to(t, "user:c", "w")
	late.ID = "id-2"
	c.route(t, 1, late)
	c.online("user:c", 3)
	if r := c.route(t, 1, late); r.Forwarded != 1 || !slices.Contains(c.got(), "3:user:c=w") {
		t.Errorf("second try: %+v, %v", r, c.got())
	}
}

func TestDedupForgetsAfterItsWindow(t *testing.T) {
	d := newDedup(time.Minute, 100)
	key := func(id string) dedupKey {
		k, ok := d.key(&Push{ID: id, To: Target{Kind: ToAll}})
		if !ok {
			t.Fatal("a push with an id has a key")
		}
		return k
	}
	start := time.Unix(1000, 0)
	if !d.enter(key("a"), start) {
		t.Error("the first is new")
	}
	for _, after := range []time.Duration{0, 59 * time.Second, 61 * time.Second} {
		if d.enter(key("a"), start.Add(after)) {
			t.Errorf("%v later it is taken for new", after)
		}
	}
	if !d.enter(key("a"), start.Add(5*time.Minute)) {
		t.Error("after the window it is new again")
	}
	for i := range 10_000 {
		d.enter(key(fmt.Sprint(i)), start.Add(5*time.Minute))
	}
	if n := len(d.young) + len(d.old); n > 100 {
		t.Errorf("%d entries are kept, limit 100", n)
	}
	if d.enter(key("9999"), start.Add(5*time.Minute)) {
		t.Error("the latest is forgotten")
	}
	if _, ok := d.key(&Push{To: Target{Kind: ToAll}}); ok {
		t.Error("a push without id or origin has a key")
	}
}

func TestRouteWithoutDirectoryReachesAll(t *testing.T) {
	c := newMemoryCluster(t, 3)
	c.online("user:a", 3)
	c.down = errors.New("redis is away")
	if r := c.route(t, 1, to(t, "user:a", "x")); !r.Spread || r.Why != "" {
		t.Errorf("result %+v, want it spread", r)
	}
	if diff := cmp.Diff([]string{"3:user:a=x"}, c.got()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := c.routers[1].Stats(); s.Blind != 1 || s.Spread != 1 {
		t.Errorf("stats %+v", s)
	}
	if len(c.undelivered) != 0 {
		t.Errorf("undelivered %v: nodes without the principal must not report it", c.undelivered)
	}
}

func TestRouteExpiredAndFull(t *testing.T) {
	c := newMemoryCluster(t, 2)
	c.online("user:a", 2)
	late := to(t, "user:a", "late")
	late.Expires = time.Now().Add(-time.Second)
	if r := c.route(t, 1, late); r.Why != BecauseExpired {
		t.Errorf("result %+v, want expired", r)
	}
	onTheWay := to(t, "user:a", "x")
	onTheWay.Expires = time.Now().Add(20 * time.Millisecond)
	if _, err := c.routers[1].Route(context.Background(), []*Push{&onTheWay}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(30 * time.Millisecond)
	c.step(t)
	c.nodes[1].full = 1
	crowded := to(t, "user:a", "crowded")
	crowded.Priority = session.Low
	c.route(t, 2, crowded)
	if len(c.got()) != 0 {
		t.Errorf("received %v", c.got())
	}
	want := []string{"user:a expired", "user:a expired", "user:a full"}
	if diff := cmp.Diff(want, c.undelivered); diff != "" {
		t.Errorf("undelivered (-want +got):\n%s", diff)
	}
}

func TestRouteFailsWhenTheBusIsClosed(t *testing.T) {
	c := newMemoryCluster(t, 2)
	c.online("user:a", 2)
	c.closed = true
	p := to(t, "user:a", "x")
	if _, err := c.routers[1].Route(context.Background(), []*Push{&p}); !errors.Is(err, ErrBusClosed) {
		t.Errorf("Route: %v, want ErrBusClosed, so that nothing is committed", err)
	}
}

func TestRouteControl(t *testing.T) {
	c := newMemoryCluster(t, 2)
	c.online("user:a", 2)
	p := to(t, "user:a", "")
	p.Control, p.Group = Join, "g"
	c.route(t, 1, p)
	if diff := cmp.Diff([]string{"2:user:a=join g"}, c.got()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	bad := to(t, "all", "")
	bad.Control = Close
	if _, err := c.routers[1].Route(context.Background(), []*Push{&bad}); !errors.Is(err, ErrBadPush) {
		t.Errorf("an order to all: %v, want ErrBadPush", err)
	}
}

// An outage of the directory is logged when it begins and when it is over, not
// with every push.
func TestOutageOfTheDirectoryIsLoggedOnce(t *testing.T) {
	c := newMemoryCluster(t, 1)
	var log bytes.Buffer
	c.routers[1].log = slog.New(slog.NewTextHandler(&log, nil))
	push := func() {
		for _, to := range []string{"user:a", "session:00000000000000010000000100000001", "group:g"} {
			target, err := ParseTarget(to)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.routers[1].Route(context.Background(), []*Push{{To: target, Opcode: session.Text}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := func(words string, want int) {
		t.Helper()
		if got := strings.Count(log.String(), words); got != want {
			t.Errorf("%q %d times, want %d:\n%s", words, got, want, &log)
		}
	}
	push()
	count("routing", 0)
	c.down = errors.New("away")
	push()
	push()
	count("cannot say who is where", 1)
	count("says who is where again", 0)
	c.down = nil
	push()
	push()
	count("says who is where again", 1)
	c.down = errors.New("away")
	push()
	count("cannot say who is where", 2)
}
