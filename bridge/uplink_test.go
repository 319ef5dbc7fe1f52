package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/limpet-gateway/limpet/internal/session"
)

func TestUplinkRecord(t *testing.T) {
	broker := startBroker(t)
	u := startUplink(t, broker, UplinkConfig{Node: "n1"})
	m := message("dev1", "hello", session.Medium)
	m.Opcode = session.Binary
	if v := u.Accept(m); v != Accepted {
		t.Fatalf("Accept: %v", v)
	}
	copy(m.Payload, "XXXXX") // the caller's buffer is its own again
	copy(m.Principal, "XXXX")
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	r := consume(t, broker.addr, broker.topics.Uplink, 1)[0]
	got := map[string]string{"key": string(r.Key), "value": string(r.Value)}
	for _, h := range r.Headers {
		got[h.Key] = string(h.Value)
	}
	want := map[string]string{
		"key": "dev1", "value": "hello",
		"limpet-session": "00000000000000010000000100000001", "limpet-principal": "dev1",
		"limpet-node": "n1", "limpet-opcode": "binary", "limpet-priority": "medium",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	s := u.Stats()
	if s.Accepted != 1 || s.Acked != 1 || s.AckedBytes != 5 || s.Outstanding != 0 || s.BufferedBytes != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// Many loops accept for many principals at once; each principal's messages are
// in Kafka once each and in order.
func TestUplinkKeepsOrderPerPrincipal(t *testing.T) {
	const loops, principals, each = 4, 25, 200
	broker := startBroker(t)
	u := startUplink(t, broker, UplinkConfig{Workers: 3})
	var wg sync.WaitGroup
	for loop := range loops {
		wg.Go(func() {
			for i := range each {
				for p := range principals {
					name := fmt.Sprintf("p%d-%d", loop, p)
					if v := u.Accept(message(name, numbered(i), session.High)); v != Accepted {
						t.Errorf("Accept: %v", v)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if err := u.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for _, r := range consume(t, broker.addr, broker.topics.Uplink, loops*principals*each) {
		key := string(r.Key)
		if want := numbered(next[key]); string(r.Value) != want {
			t.Fatalf("%s: got %s, want %s", key, r.Value, want)
		}
		next[key]++
	}
	if len(next) != loops*principals {
		t.Errorf("%d principals, want %d", len(next), loops*principals)
	}
}

// stall makes the broker answer no produce request until the returned function
// is called.
func stall(t testing.TB, c cluster) (resume func()) {
	t.Helper()
	var once sync.Once
	done := make(chan struct{})
	c.ControlKey(produceKey, func(kmsgRequest) (kmsgResponse, error, bool) {
		c.KeepControl()
		select {
		case <-done:
			c.DropControl()
			return nil, nil, false
		default:
		}
		c.SleepControl(func() { <-done })
		return nil, nil, false
	})
	resume = func() { once.Do(func() { close(done) }) }
	t.Cleanup(resume)
	return resume
}

func TestUplinkVerdictsByPriority(t *testing.T) {
	broker := startEmbedded(t)
	u := startUplink(t, broker, UplinkConfig{
		Workers:       1,
		BufferedBytes: 1 << 20, MaxMessageBytes: 1024,
	})
	resume := stall(t, broker.cluster)
	sessionN := func(n int, p session.Priority, payload string) Message {
		m := message(fmt.Sprintf("dev%d", n), payload, p)
		m.Session.Slot = uint32(n)
		return m
	}
	fill := func(p session.Priority) (accepted int) {
		for n := 0; ; n++ {
			if n > 10_000 {
				t.Fatalf("%v: everything is accepted", p)
			}
			if u.Accept(sessionN(100_000+n, p, "fill")) != Accepted {
				return n
			}
		}
	}
	low := fill(session.Low)
	if v := u.Accept(sessionN(1, session.Low, "x")); v != Dropped {
		t.Errorf("low with its share full: %v, want dropped", v)
	}
	// Until medium messages have to wait, they are all queued.
	queued := 0
	for u.Stats().HeldValues == 0 {
		if v := u.Accept(sessionN(1000+queued, session.Medium, "first")); v != Accepted {
			t.Fatalf("medium %d: %v", queued, v)
		}
		queued++
	}
	last := 1000 + queued - 1 // the one that is held
	for i := range 50 {
		if v := u.Accept(sessionN(last, session.Medium, numbered(i))); v != Accepted {
			t.Fatalf("medium that replaces another: %v", v)
		}
	}
	if s := u.Stats(); s.Coalesced != 50 || s.HeldValues != 1 {
		t.Errorf("coalesced %d, held %d; want 50 and 1", s.Coalesced, s.HeldValues)
	}
	high := fill(session.High)
	if v := u.Accept(sessionN(2, session.High, "x")); v != Refused {
		t.Errorf("high with no room: %v, want refused", v)
	}
	if low == 0 || queued < 2 || high == 0 {
		t.Errorf("accepted low %d, medium %d, high %d: each should find its share", low, queued, high)
	}
	s := u.Stats()
	if s.BufferedBytes > 1<<20 {
		t.Errorf("%d bytes buffered, limit %d", s.BufferedBytes, 1<<20)
	}
	if s.DroppedLow != 2 || s.Refused != 2 {
		t.Errorf("dropped low %d, refused %d; want 2 and 2", s.DroppedLow, s.Refused)
	}
	resume()
	if err := u.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	var held []string
	records := consume(t, broker.addr, broker.topics.Uplink, low+queued+high)
	for _, r := range records {
		if string(r.Key) == fmt.Sprintf("dev%d", last) {
			held = append(held, string(r.Value))
		}
	}
	if len(records) != low+queued+high || len(held) != 1 || held[0] != numbered(49) {
		t.Errorf("%d records, want %d; the held session has %v, want its last value only", len(records), low+queued+high, held)
	}
}

// A held value never arrives after a newer message of its session.
func TestUplinkHeldValueGoesBeforeNewerHigh(t *testing.T) {
	broker := startEmbedded(t)
	u := startUplink(t, broker, UplinkConfig{
		Workers:       1,
		BufferedBytes: 1 << 20, MaxMessageBytes: 1024,
	})
	resume := stall(t, broker.cluster)
	for n := 0; u.Stats().HeldValues == 0; n++ {
		u.Accept(message("dev", "m"+numbered(n), session.Medium))
	}
	u.Accept(message("dev", "m-last", session.Medium))
	if v := u.Accept(message("dev", "high", session.High)); v != Accepted {
		t.Fatalf("high: %v", v)
	}
	resume()
	if err := u.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	records := consume(t, broker.addr, broker.topics.Uplink, int(u.Stats().Acked))
	n := len(records)
	if a, b := string(records[n-2].Value), string(records[n-1].Value); a != "m-last" || b != "high" {
		t.Errorf("the last two are %q, %q; want m-last, high", a, b)
	}
}

func TestUplinkRefusesWhatIsTooLarge(t *testing.T) {
	broker := startBroker(t)
	u := startUplink(t, broker, UplinkConfig{MaxMessageBytes: 10})
	for p, want := range map[session.Priority]Verdict{session.High: Refused, session.Medium: Dropped, session.Low: Dropped} {
		if v := u.Accept(message("d", strings.Repeat("x", 11), p)); v != want {
			t.Errorf("%v: %v, want %v", p, v, want)
		}
	}
	if v := u.Accept(message("d", strings.Repeat("x", 10), session.High)); v != Accepted {
		t.Errorf("of the largest size: %v", v)
	}
	if s := u.Stats(); s.TooLarge != 3 || s.Accepted != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestUplinkCloseReportsWhatIsLeft(t *testing.T) {
	broker := startEmbedded(t)
	u := startUplink(t, broker, UplinkConfig{})
	stall(t, broker.cluster)
	u.Accept(message("d", "x", session.High))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := u.Close(ctx); !errors.Is(err, ErrNotFlushed) || !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v, want ErrNotFlushed and the context's error", err)
	}
	if v := u.Accept(message("d", "x", session.High)); v != Refused {
		t.Errorf("after Close: %v, want refused", v)
	}
	if s := u.Stats(); s.Lost != 1 {
		t.Errorf("lost %d, want 1", s.Lost)
	}
}

func TestUplinkCreatesTopicsUnlessTold(t *testing.T) {
	broker := startEmbedded(t)
	cfg := UplinkConfig{Kafka: broker.kafka(), Topics: NewTopics("other."), Partitions: 3, KeepTopics: true}
	if _, err := NewUplink(testContext(t), cfg); !errors.Is(err, ErrTopicsMissing) || !strings.Contains(err.Error(), "other.uplink") {
		t.Fatalf("with KeepTopics: %v, want ErrTopicsMissing that names the topic", err)
	}
	cfg.KeepTopics = false
	startUplink(t, broker, cfg)
	if n := len(broker.cluster.PartitionInfos("other.uplink")); n != 3 {
		t.Errorf("%d partitions, want 3", n)
	}
	cfg.KeepTopics = true
	startUplink(t, broker, cfg)
}

func TestUplinkConfigReportsEveryFault(t *testing.T) {
	err := UplinkConfig{Workers: 1000, QueueLength: 1, BufferedBytes: 1, ProduceTimeout: 1}.Validate()
	for _, word := range []string{"brokers", "workers", "queue length", "buffered bytes", "produce timeout"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("no word of %s in %v", word, err)
		}
	}
}

func TestAcceptDoesNotAllocate(t *testing.T) {
	broker := startBroker(t)
	u := startUplink(t, broker, UplinkConfig{})
	m := message("device-0001", strings.Repeat("x", 128), session.High)
	// The workers' own allocations are counted too, since AllocsPerRun counts
	// the process's: with them parked what remains is Accept's.
	parked := &Uplink{cfg: u.cfg, seed: u.seed, budget: newBudget(1 << 30), maxPayload: u.maxPayload, text: u.text}
	w := newWorker(parked)
	parked.workers = []*worker{w}
	allocs := testing.AllocsPerRun(1000, func() {
		if parked.Accept(m) != Accepted {
			t.Fatal("not accepted")
		}
		it := w.queue.pop()
		parked.budget.release(it.cost())
		it.free()
	})
	if allocs != 0 {
		t.Errorf("Accept allocates %v times", allocs)
	}
}

func TestItemClasses(t *testing.T) {
	for _, c := range []struct{ n, capacity int }{{0, 256}, {256, 256}, {257, 512}, {65536, 65536}, {131072, 131072}, {131073, 131073}} {
		it := newItem(c.n)
		if cap(it.buf) != c.capacity || it.cost() != cost(c.n) {
			t.Errorf("%d bytes: capacity %d, want %d; cost %d and %d should agree", c.n, cap(it.buf), c.capacity, it.cost(), cost(c.n))
		}
		it.free()
	}
}

func BenchmarkAccept(b *testing.B) {
	broker := startBroker(b)
	u := startUplink(b, broker, UplinkConfig{})
	messages := make([]Message, 256)
	for i := range messages {
		messages[i] = message(fmt.Sprintf("device-%04d", i), strings.Repeat("x", 128), session.High)
	}
	b.ReportAllocs()
	refused := 0
	for i := 0; b.Loop(); i++ {
		for u.Accept(messages[i%256]) != Accepted {
			refused++
			if err := u.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := u.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(refused), "stalls")
}
