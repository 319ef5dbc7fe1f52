package redisdir

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// churn opens and ends sessions on a node until stop is called, and returns
// how many times it did and the longest that one step took.
func churn(n *testNode, principals int) (stop func() (steps int, slowest time.Duration)) {
	ctx, cancel := context.WithCancel(context.Background())
	var steps int
	var slowest time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		var live []session.ID
		for ctx.Err() == nil {
			began := time.Now()
			live = append(live, n.open(fmt.Sprintf("user-%d", rand.IntN(principals)), fmt.Sprintf("room-%d", rand.IntN(20))))
			if len(live) > 300 {
				i := rand.IntN(len(live))
				n.end(live[i])
				live[i] = live[len(live)-1]
				live = live[:len(live)-1]
			}
			slowest = max(slowest, time.Since(began))
			if steps++; steps%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	return func() (int, time.Duration) {
		cancel()
		wg.Wait()
		return steps, slowest
	}
}

// outage makes Redis fail and come back while two nodes churn, and expects
// them to go over to their own tables, not to wait, and to agree afterwards.
func outage(t *testing.T, nodesURL, checkURL string, fail, mend func()) {
	a, b := joinedNode(t, quick(nodesURL, "a"), 1), joinedNode(t, quick(nodesURL, "b"), 1)
	stayed := a.open("stays")
	stopA, stopB := churn(a, 2000), churn(b, 2000)
	time.Sleep(200 * time.Millisecond)
	fail()
	a.await(Degraded)
	b.await(Degraded)

	began := time.Now()
	err := a.dir.Lookup(t.Context(), []string{"stays"}, func(int, Location) { t.Error("found something without Redis") })
	if took := time.Since(began); !errors.Is(err, ErrDegraded) || took > 50*time.Millisecond {
		t.Errorf("lookup without Redis: %v after %v, want ErrDegraded at once", err, took)
	}
	if got := a.table.AppendSessions(nil, []byte("stays")); len(got) != 1 || got[0] != stayed {
		t.Errorf("the own table has %v, want %v", got, stayed)
	}
	// A second phase, all of it without Redis, shows that nothing waits for it.
	stopA()
	stopA = churn(a, 2000)
	time.Sleep(500 * time.Millisecond)
	steps, slowest := stopA()
	if steps < 500 || slowest > a.dir.config.CallTimeout {
		t.Errorf("without Redis: %d sessions opened in 0.5 s, slowest step %v", steps, slowest)
	}
	mend()
	stopB()
	agree(t, checkURL, a, b)
	for _, n := range []*testNode{a, b} {
		if got := n.log.Count("Redis is failing"); got != 1 || n.log.Count("err=<nil>") != 0 {
			t.Errorf("node %s logged the outage %d times, want once, with its reason:\n%s", n.id, got, n.log)
		}
		if s := n.dir.Stats(); s.QueuePeak > s.QueueMax {
			t.Errorf("queue of %s reached %d, bound %d", n.id, s.QueuePeak, s.QueueMax)
		}
	}
}

func TestRedisIsKilledAndComesBackEmpty(t *testing.T) {
	s := redistest.Start(t)
	outage(t, s.URL(), s.URL(), s.Kill, s.Restart)
}

func TestRedisIsFrozen(t *testing.T) {
	s := redistest.Start(t)
	outage(t, s.URL(), s.URL(), s.Freeze, s.Thaw)
}

func TestRedisIsSlow(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s)
	outage(t, p.URL(), s.URL(), func() { p.Delay(time.Second) }, func() { p.Delay(0) })
}

// TestRedisRestartsEmptyAtOnce gives the nodes no time to notice an outage.
func TestRedisRestartsEmptyAtOnce(t *testing.T) {
	s := redistest.Start(t)
	a, b := joinedNode(t, quick(s.URL(), "a"), 1), joinedNode(t, quick(s.URL(), "b"), 1)
	for i := range 2000 {
		a.open(fmt.Sprintf("a-%d", i), "all")
		b.open(fmt.Sprintf("b-%d", i), "all")
	}
	agree(t, s.URL(), a, b)
	s.Kill()
	s.Restart()
	eventually(t, 10*time.Second, func() string {
		if a.dir.Stats().Resyncs == 0 || b.dir.Stats().Resyncs == 0 {
			return "no resync"
		}
		return ""
	})
	agree(t, s.URL(), a, b)
}

// TestConnectionsAreCut loses answers of writes that may have been executed.
func TestConnectionsAreCut(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s)
	a, b := joinedNode(t, quick(p.URL(), "a"), 1), joinedNode(t, quick(p.URL(), "b"), 1)
	stopA, stopB := churn(a, 500), churn(b, 500)
	for range 10 {
		time.Sleep(100 * time.Millisecond)
		p.Cut()
	}
	stopA()
	stopB()
	agree(t, s.URL(), a, b)
}

func TestStartsWithoutRedis(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	config := quick(s.URL(), "a")
	why := make(chan error, 100)
	var filling atomic.Bool
	started := make(chan *testNode, 1)
	config.Changed = func(s State, err error) {
		if s == Joined {
			filling.Store((<-started).dir.Filling())
		}
		why <- err
	}
	a := startNode(t, config, 1)
	started <- a
	for i := range 100 {
		a.open(fmt.Sprintf("user-%d", i))
	}
	select {
	case err := <-why:
		if err == nil {
			t.Error("it is not said why there is no contact")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing is said without Redis")
	}
	time.Sleep(300 * time.Millisecond)
	if got := a.dir.State(); got != Starting {
		t.Fatalf("state %s, want starting", got)
	}
	s.Restart()
	agree(t, s.URL(), a)
	if err := <-why; err != nil {
		t.Errorf("joined with %v", err)
	}
	if !filling.Load() {
		t.Error("what the others have not registered again yet passes for gone")
	}
	if got := a.log.Count("Redis cannot be used yet"); got != 1 {
		t.Errorf("the reason was logged %d times, want once", got)
	}
}

func TestDrainOfANodeThatNeverJoined(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	a := startNode(t, quick(s.URL(), "a"), 1)
	a.open("user")
	if err := a.dir.Drain(t.Context()); err != nil {
		t.Errorf("it has left nothing, and says %v", err)
	}
}

// TestRedisIsFull lets Redis answer everything, but take no write: an operator
// has to read that it is full.
func TestRedisIsFull(t *testing.T) {
	s := redistest.Start(t)
	config := quick(s.URL(), "a")
	why := make(chan error, 100)
	config.Changed = func(state State, err error) {
		if state == Degraded {
			why <- err
		}
	}
	a := joinedNode(t, config, 1)
	a.open("early")
	a.settled()
	s.Must("CONFIG", "SET", "maxmemory", "1")
	stop := churn(a, 2000)
	a.await(Degraded)
	stop()
	if err := <-why; err == nil || !strings.Contains(err.Error(), "OOM") || a.log.Count("OOM") == 0 {
		t.Errorf("the reason is %v; logged:\n%s", err, a.log)
	}
	s.Must("CONFIG", "SET", "maxmemory", "0")
	agree(t, s.URL(), a)
}

// TestInfoIsNotAllowed takes from the nodes what tells them that a server is
// new: they work all the same, and say so.
func TestInfoIsNotAllowed(t *testing.T) {
	s := redistest.Start(t)
	s.Must("ACL", "SETUSER", "default", "-info")
	a := joinedNode(t, quick(s.URL(), "a"), 1)
	a.open("user")
	eventually(t, 10*time.Second, func() string {
		if a.log.Count("allow this user INFO") == 0 {
			return "nothing is said of INFO"
		}
		return ""
	})
	agree(t, s.URL(), a)
	if got := a.log.Count("allow this user INFO"); got != 1 {
		t.Errorf("it is said %d times", got)
	}
}

// TestSentinelFailover loses the master without any chance to hand over.
func TestSentinelFailover(t *testing.T) {
	s := redistest.StartSentinel(t)
	a, b := joinedNode(t, quick(s.URL(), "a"), 1), joinedNode(t, quick(s.URL(), "b"), 1)
	stopA, stopB := churn(a, 2000), churn(b, 2000)
	time.Sleep(300 * time.Millisecond)
	s.Master.Kill()
	s.AwaitFailover()
	time.Sleep(500 * time.Millisecond)
	stopA()
	stopB()
	agree(t, s.URL(), a, b)
	if s.Replica.Must("DBSIZE") == "0" {
		t.Error("the new master is empty")
	}
}

// TestSentinelFailoverLosesWrites promotes a replica that had been cut off:
// binds and unbinds that Redis had acknowledged are gone, and no call fails
// long enough to show it.
func TestSentinelFailoverLosesWrites(t *testing.T) {
	s := redistest.StartSentinel(t)
	a := joinedNode(t, quick(s.URL(), "a"), 1)
	early := a.open("early")
	agree(t, s.URL(), a)
	s.Replica.Freeze()
	a.open("late")
	a.end(early)
	a.settled()
	s.Master.Kill()
	s.Replica.Thaw()
	s.AwaitFailover()
	agree(t, s.URL(), a)
}

func TestClusterFailover(t *testing.T) {
	c := redistest.StartCluster(t)
	a, b := joinedNode(t, quick(c.URL(), "a"), 1), joinedNode(t, quick(c.URL(), "b"), 1)
	if !a.dir.store.clustered() {
		t.Fatal("the client does not see a cluster")
	}
	stopA, stopB := churn(a, 2000), churn(b, 2000)
	time.Sleep(300 * time.Millisecond)
	// The master of the leases is the one whose loss hurts most.
	i := c.MasterOf(c.SlotOf(keyIncarnations))
	c.Masters[i].Kill()
	c.AwaitFailover(i)
	time.Sleep(500 * time.Millisecond)
	stopA()
	stopB()
	agree(t, c.Replicas[i].URL()+"?addr="+c.Masters[(i+1)%3].Addr, a, b)
}

func TestClusterSlotsMove(t *testing.T) {
	c := redistest.StartCluster(t)
	a, b := joinedNode(t, quick(c.URL(), "a"), 1), joinedNode(t, quick(c.URL(), "b"), 1)
	stopA, stopB := churn(a, 2000), churn(b, 2000)
	time.Sleep(200 * time.Millisecond)
	for _, key := range []string{"lp:{b:3}", "lp:{b:77}", "lp:{g:1}", keyIncarnations, keyLease("a")} {
		slot := c.SlotOf(key)
		from := c.MasterOf(slot)
		c.MoveSlot(slot, c.Masters[from], c.Masters[(from+1)%3], func() { time.Sleep(100 * time.Millisecond) })
	}
	stopA()
	stopB()
	agree(t, c.URL(), a, b)
}

// TestClusterLosesTheNodes empties the one master that has the incarnations, and
// a part of the entries, while the node's lease is on another: it keeps its
// number. It has to register everything again all the same, whether or not
// anybody looks something up, and to trust the directory when it has.
func TestClusterLosesTheNodes(t *testing.T) {
	c := redistest.StartCluster(t)
	i := c.MasterOf(c.SlotOf(keyIncarnations))
	id := "a"
	for c.MasterOf(c.SlotOf(keyLease(id))) == i {
		id += "a"
	}
	a := joinedNode(t, quick(c.URL(), id), 1)
	for n := range 100 {
		a.open(fmt.Sprintf("user-%d", n))
	}
	agree(t, c.URL(), a)
	for _, lookUp := range []bool{false, true} {
		c.Masters[i].Must("FLUSHALL")
		if lookUp {
			_ = a.dir.Lookup(t.Context(), []string{"user-1"}, func(int, Location) {})
		}
		agree(t, c.URL(), a)
		eventually(t, 10*time.Second, func() string {
			if a.dir.Filling() {
				return "the directory is still in doubt"
			}
			return ""
		})
	}
}

// TestClockOfAFarRedis: the time that an answer tells is that of the middle of
// its round trip, not of its end.
func TestClockOfAFarRedis(t *testing.T) {
	const delay = 50 * time.Millisecond
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s)
	p.Delay(delay)
	a := joinedNode(t, quick(p.URL(), "a"), 1)
	a.stop()
	if best := a.dir.keeper.best; best != 0 && best < delay { // 0: the next fix is awaited
		t.Errorf("the clock was fixed by a round trip of %v, and none takes less than %v", best, delay)
	}
}
