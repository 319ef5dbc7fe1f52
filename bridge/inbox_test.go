package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// written returns how many records each partition of a topic has been given.
func written(t testing.TB, b *testBroker, topic string) map[int32]int64 {
	t.Helper()
	client, err := b.kafka().newClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(testContext(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			counts[o.Partition] = o.Offset
		}
	})
	return counts
}

// writeInbox writes a push for a node into a partition of the inbox, as a node
// does that has seen the leases as they were.
func writeInbox(t testing.TB, b *testBroker, partition int32, node uint64, p Push) {
	t.Helper()
	client, err := b.kafka().newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p.node = node
	r := p.busRecord(b.topics.Inbox, time.Now())
	r.Partition = partition
	if err := client.ProduceSync(testContext(t), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// routeFrom routes one push on node n.
func (n *kafkaNode) routeFrom(t testing.TB, target, payload string) Result {
	t.Helper()
	parsed, err := ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	results, err := n.router.Route(testContext(t), []*Push{{To: parsed, Opcode: session.Text, Payload: []byte(payload)}})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

func (n *kafkaNode) awaits(t testing.TB, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%v arrives", want), func() bool { return len(n.received()) >= len(want) })
	if diff := cmp.Diff(want, n.received()); diff != "" {
		t.Fatalf("received (-want +got):\n%s", diff)
	}
}

func TestForwardsGoToTheOwnersInboxAlone(t *testing.T) {
	broker := startBroker(t)
	dir := &wires{users: map[string][]uint64{"b": {2}, "c": {3}}, groups: map[string][]uint64{"g": {2, 3}}}
	l := newLeases()
	a, b, c := startNode(t, broker, 1, dir, l.of(1, 8)), startNode(t, broker, 2, dir, l.of(2, 8)), startNode(t, broker, 3, dir, l.of(3, 8))
	id := session.ID{Incarnation: 3, Slot: 1, Generation: 1}
	for _, target := range []string{"user:b", "group:g"} {
		b.online[target] = true
	}
	for _, target := range []string{"user:c", "group:g", "session:" + id.String()} {
		c.online[target] = true
	}
	a.routeFrom(t, "user:b", "1")
	a.routeFrom(t, "user:c", "2")
	a.routeFrom(t, "group:g", "3")
	a.routeFrom(t, "session:"+id.String(), "4")
	b.awaits(t, "user:b=1", "group:g=3")
	c.awaits(t, "user:c=2", "group:g=3", "session:"+id.String()+"=4")
	if diff := cmp.Diff(map[int32]int64{1: 2, 2: 3}, written(t, broker, broker.topics.Inbox)); diff != "" {
		t.Errorf("records in the inbox (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[int32]int64{}, written(t, broker, broker.topics.Broadcast)); diff != "" {
		t.Errorf("records of broadcasts (-want +got):\n%s", diff)
	}
	if r := a.routeFrom(t, "session:"+session.ID{Incarnation: 9, Slot: 1, Generation: 1}.String(), "5"); r.Why != BecauseOffline {
		t.Errorf("to a node that never was: %+v", r)
	}
}

// A node whose lease has gone to another one without its noticing reads what
// is for that one, and leaves it alone. Once it notices it reads its new one.
func TestInboxThatHasBecomeSomebodyElses(t *testing.T) {
	broker := startBroker(t)
	dir := &wires{users: map[string][]uint64{"b": {2}, "c": {3}}}
	l := newLeases()
	a, asleep := startNode(t, broker, 1, dir, l.of(1, 8)), startNode(t, broker, 2, dir, l.of(2, 8))
	asleep.online["user:b"], asleep.online["user:c"] = true, true // of c it does not know better
	a.routeFrom(t, "user:b", "1")
	asleep.awaits(t, "user:b=1")

	l.mu.Lock() // a third node comes and is given the partition of the second, which is dead to the others
	l.owner[1] = 3
	delete(l.nodes, 2)
	l.mu.Unlock()
	c := startNode(t, broker, 3, dir, l.of(3, 0))
	c.online["user:c"] = true
	for i := range 5 {
		a.routeFrom(t, "user:c", numbered(i))
	}
	c.awaits(t, "user:c=000000", "user:c=000001", "user:c=000002", "user:c=000003", "user:c=000004")
	eventually(t, "the second has left them alone", func() bool { return asleep.bus.Stats().Ignored == 5 })
	asleep.awaits(t, "user:b=1")

	back := l.of(2, 0)
	back.give(6, 2)
	asleep.bus.cfg.Inboxes.(*lease).changed <- struct{}{}
	eventually(t, "it reads its new inbox", func() bool {
		a.routeFrom(t, "user:b", "2")
		return slices.Contains(asleep.received(), "user:b=2")
	})
	if got := written(t, broker, broker.topics.Inbox); got[6] == 0 {
		t.Errorf("records in the inbox: %v, none in partition 6", got)
	}
	if n := len(c.received()); n != 5 {
		t.Errorf("the third node received %d pushes, want 5", n)
	}
}

// A node that is not sure of its lease for a while, and then has the same inbox
// again, reads on where it was: what came meanwhile was for nobody else.
func TestInboxIsReadOn(t *testing.T) {
	broker := startBroker(t)
	l := newLeases()
	v := l.of(1, 8)
	a := startNode(t, broker, 1, &wires{}, v)
	a.online["user:here"] = true
	writeInbox(t, broker, 0, 1, to(t, "user:here", "0"))
	a.awaits(t, "user:here=0")
	l.give(0, 0)
	eventually(t, "the inbox is left alone", func() bool {
		a.bus.mu.Lock()
		defer a.bus.mu.Unlock()
		return a.bus.inbox.reading == NoInbox
	})
	for i := range 5 {
		writeInbox(t, broker, 0, 1, to(t, "user:here", numbered(i)))
	}
	l.give(0, 1)
	a.awaits(t, "user:here=0", "user:here=000000", "user:here=000001", "user:here=000002", "user:here=000003", "user:here=000004")
}

// What others put into an inbox for its former owner is not lost where its
// sessions have come back.
func TestRecordsForAFormerOwnerOfAnInbox(t *testing.T) {
	broker := startBroker(t)
	dir := &wires{users: map[string][]uint64{"here": {1}, "there": {2}, "moved": {2}}}
	l := newLeases()
	a, b := startNode(t, broker, 1, dir, l.of(1, 8)), startNode(t, broker, 2, dir, l.of(2, 8))
	a.online["user:here"], b.online["user:there"], b.online["user:moved"] = true, true, true
	writeInbox(t, broker, 0, 1, to(t, "user:here", "0")) // an ordinary one: now both read
	a.awaits(t, "user:here=0")
	writeInbox(t, broker, 0, 9, to(t, "user:here", "1"))  // 9 is dead: its session is here now
	writeInbox(t, broker, 0, 9, to(t, "user:moved", "2")) // or elsewhere
	writeInbox(t, broker, 0, 2, to(t, "user:there", "3")) // 2 lives, and has another inbox
	others := to(t, "user:here", "4")
	others.spread = true // the nodes that live have it already
	writeInbox(t, broker, 0, 9, others)
	a.awaits(t, "user:here=0", "user:here=1")
	eventually(t, "both reach the other node", func() bool { return len(b.received()) == 2 })
	eventually(t, "all are dealt with", func() bool {
		s := a.bus.Stats()
		return s.Followed == 2 && s.Ignored == 1
	})
	a.awaits(t, "user:here=0", "user:here=1")
}

// A node without an inbox, and one whose inbox cannot be asked for, are reached
// by the way of all; the others leave it alone.
func TestNodeWithoutInbox(t *testing.T) {
	broker := startBroker(t)
	dir := &wires{users: map[string][]uint64{"b": {2}}}
	l := newLeases()
	a, b, c := startNode(t, broker, 1, dir, l.of(1, 8)), startNode(t, broker, 2, dir, l.of(2, 0)), startNode(t, broker, 3, dir, l.of(3, 8))
	b.online["user:b"], c.online["user:b"] = true, true
	a.routeFrom(t, "user:b", "1")
	b.awaits(t, "user:b=1")
	l.give(5, 2)
	a.routeFrom(t, "user:b", "2")
	l.mu.Lock()
	l.down = errors.New("redis is away")
	l.mu.Unlock()
	begun := time.Now()
	a.routeFrom(t, "user:b", "3")
	eventually(t, "all arrive", func() bool { return len(b.received()) == 3 })
	if took := time.Since(begun); took > testTimeout/2 {
		t.Errorf("it took %v", took)
	}
	if s := a.bus.Stats(); s.Unleased != 2 {
		t.Errorf("stats %+v, want 2 without a lease", s)
	}
	if got := c.received(); len(got) != 0 || c.router.Stats().Arrived != 0 {
		t.Errorf("another node took %v", got)
	}
}

// A node dies after it has consumed records of the downlink and before the
// inbox has them: its broker swallows what it produces. Nothing is lost, since
// nothing was committed; another node takes them up.
func TestNodeEndsBetweenDownlinkAndInbox(t *testing.T) {
	broker := startEmbedded(t)
	dir := &wires{users: map[string][]uint64{"b": {2}}}
	l := newLeases()
	owner := startNode(t, broker, 2, dir, l.of(2, 8))
	owner.online["user:b"] = true
	owner.stopDownlink() // so that the other one alone consumes
	var records []*kgo.Record
	for i := range 20 {
		records = append(records, pushTo(t, "user:b", numbered(i)))
	}
	publish(t, broker, records...)
	var mended atomic.Bool
	tried := make(chan struct{}, 1)
	broker.cluster.ControlKey(produceKey, func(kmsgRequest) (kmsgResponse, error, bool) {
		broker.cluster.KeepControl()
		if mended.Load() {
			return nil, nil, false
		}
		select {
		case tried <- struct{}{}:
		default:
		}
		return nil, errors.New("gone"), true // the connection ends, nothing is stored
	})
	victim := startNode(t, broker, 1, dir, l.of(1, 8))
	select {
	case <-tried: // consumed, and on its way to the inbox
	case <-time.After(testTimeout):
		t.Fatal("nothing is forwarded")
	}
	victim.stop() // it gives up what it could not send, and has nothing to commit
	mended.Store(true)
	if got := owner.received(); len(got) != 0 {
		t.Fatalf("received %v before another node has taken over", got)
	}
	heir := startNode(t, broker, 3, dir, l.of(3, 8))
	eventually(t, "all arrive", func() bool { return len(owner.received()) >= len(records) })
	received := owner.received()
	order(t, received)
	if n := len(received); n != len(records) {
		t.Errorf("%d different pushes, want %d", n, len(records))
	}
	if s := heir.router.Stats(); s.Forwarded != uint64(len(records)) {
		t.Errorf("the heir forwarded %d, want %d", s.Forwarded, len(records))
	}
}

// The bus refuses what is for all: those on this node have it all the same.
func TestSessionsHereAreReachedWithoutABus(t *testing.T) {
	c := newMemoryCluster(t, 2)
	c.online("user:a", 1)
	c.down = errors.New("redis is away")
	broken := &refusing{}
	router := newTestRouter(t, RouterConfig{Incarnation: 1, Local: c.nodes[0], Directory: c.wires, Bus: broken})
	for _, target := range []string{"user:a", "user:elsewhere", "all"} {
		p := to(t, target, "x")
		results, err := router.Route(context.Background(), []*Push{&p})
		if err != nil {
			t.Fatal(err)
		}
		want := Result{Outcome: Outcome{Delivered: 1}}
		if target == "user:elsewhere" {
			want = Result{Outcome: Outcome{Offline: 1}, Why: BecauseFailed}
		}
		if diff := cmp.Diff(want, results[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
	}
	if diff := cmp.Diff([]string{"1:all=x", "1:user:a=x"}, c.got()); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}

// refusing is a bus that takes nothing.
type refusing struct{}

func (refusing) Forward(_ context.Context, _ uint64, _ *Push, done func(error)) {
	done(errors.New("away"))
}
func (refusing) Broadcast(_ context.Context, _ *Push, done func(error)) { done(errors.New("away")) }

// Kafka is away while more is to be forwarded than fits into the bus: whoever
// has a deadline gets an answer, and memory is bounded.
func TestForwardWithoutKafka(t *testing.T) {
	broker := startEmbedded(t)
	dir := &wires{users: map[string][]uint64{"b": {2}}}
	l := newLeases()
	a, b := startNode(t, broker, 1, dir, l.of(1, 8)), startNode(t, broker, 2, dir, l.of(2, 8))
	b.online["user:b"] = true
	a.routeFrom(t, "user:b", "first")
	var away atomic.Bool
	away.Store(true)
	broker.cluster.ControlKey(produceKey, func(kmsgRequest) (kmsgResponse, error, bool) {
		broker.cluster.KeepControl()
		if away.Load() {
			return nil, errors.New("away"), true
		}
		return nil, nil, false
	})
	payload := []byte(strings.Repeat("x", 512<<10))
	target, _ := ParseTarget("user:b")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for range 4 * busBuffered >> 20 { // of half a MiB each
		if _, err := a.router.Route(ctx, []*Push{{To: target, Opcode: session.Text, Payload: payload}}); err == nil {
			t.Fatal("a push is forwarded without Kafka")
		}
		if n := a.bus.client.BufferedProduceBytes(); n > busBuffered+int64(len(payload)) {
			t.Fatalf("%d bytes are buffered", n)
		}
	}
	away.Store(false)
	eventually(t, "pushes arrive again", func() bool {
		again, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		_, err := a.router.Route(again, []*Push{{To: target, Opcode: session.Text, Payload: []byte("last")}})
		return err == nil && slices.Contains(b.received(), "user:b=last")
	})
}

// Somebody who no longer waits for Kafka takes nobody along who does.
func TestForwardThatIsGivenUp(t *testing.T) {
	broker := startEmbedded(t)
	dir := &wires{users: map[string][]uint64{"b": {2}}}
	l := newLeases()
	a, b := startNode(t, broker, 1, dir, l.of(1, 8)), startNode(t, broker, 2, dir, l.of(2, 8))
	b.online["user:b"] = true
	var tries atomic.Int32
	var away atomic.Bool
	away.Store(true)
	// A connection that is closed at its first request would be taken for one
	// that lacks SASL, and end all that waits: the broker is there, not ready.
	broker.cluster.ControlKey(initProducerKey, func(r kmsgRequest) (kmsgResponse, error, bool) {
		broker.cluster.KeepControl()
		tries.Add(1)
		notYet := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		notYet.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		return notYet, nil, away.Load()
	})
	route := func(ctx context.Context, payload string) <-chan error {
		before := a.bus.client.BufferedProduceRecords()
		answer := make(chan error, 1)
		target, _ := ParseTarget("user:b")
		go func() {
			results, err := a.router.Route(ctx, []*Push{{To: target, Opcode: session.Text, Payload: []byte(payload)}})
			if err == nil && results[0].Forwarded != 1 {
				err = fmt.Errorf("not forwarded: %+v", results[0])
			}
			answer <- err
		}()
		eventually(t, payload+" is buffered", func() bool { return a.bus.client.BufferedProduceRecords() > before })
		return answer
	}
	short, giveUp := context.WithCancel(testContext(t))
	hasty := route(short, "hasty") // the first of its batch
	patient := route(testContext(t), "patient")
	giveUp()
	if err := <-hasty; !errors.Is(err, context.Canceled) {
		t.Fatalf("the hasty one: %v", err)
	}
	seen := tries.Load()
	eventually(t, "the client tries again", func() bool { return tries.Load() >= seen+2 || len(patient) > 0 })
	away.Store(false)
	if err := <-patient; err != nil {
		t.Fatalf("the patient one: %v", err)
	}
	b.awaits(t, "user:b=hasty", "user:b=patient")
}
