package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/twmb/franz-go/pkg/kgo"
)

// node is a Local with the sessions of a few principals, that remembers what it
// was given.
type node struct {
	mu     sync.Mutex
	online map[string]bool // by the target's text
	full   int             // deliveries that find no room, before the others
	got    []string        // target=payload
	byBus  []string        // those of got that another node forwarded
}

func newNode(online ...string) *node {
	n := &node{online: map[string]bool{"all": true}}
	for _, o := range online {
		n.online[o] = true
	}
	return n
}

func (n *node) deliver(p *Push) Outcome {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case !n.online[p.To.String()]:
		return Outcome{Offline: 1}
	case n.full > 0:
		n.full--
		return Outcome{Full: 1}
	}
	line := p.To.String() + "=" + string(p.Payload)
	n.got = append(n.got, line)
	if p.hops > 0 {
		n.byBus = append(n.byBus, line)
	}
	return Outcome{Delivered: 1}
}

func (n *node) User(_ string, p *Push) Outcome        { return n.deliver(p) }
func (n *node) Session(_ session.ID, p *Push) Outcome { return n.deliver(p) }
func (n *node) Group(_ string, p *Push) Outcome       { return n.deliver(p) }
func (n *node) All(p *Push) Outcome                   { return n.deliver(p) }

func (n *node) Control(p *Push) Outcome {
	order := *p
	order.Payload = []byte(p.Control.String() + " " + p.Group)
	return n.deliver(&order)
}

func (n *node) received() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.got...)
}

// ways are what another node forwarded and what came otherwise.
func (n *node) ways() (forwarded, own []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	forwarded = slices.Clone(n.byBus)
	for _, line := range n.got {
		if !slices.Contains(forwarded, line) {
			own = append(own, line)
		}
	}
	return forwarded, own
}

func startDownlink(t testing.TB, b *testBroker, local Local) (d *Downlink, stop func()) {
	t.Helper()
	return startRouted(t, b.kafka(), b.topics, newTestRouter(t, RouterConfig{Local: local}))
}

func newTestRouter(t testing.TB, cfg RouterConfig) *Router {
	t.Helper()
	r, err := NewRouter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// startRouted runs a downlink until the test ends, or stop is called.
func startRouted(t testing.TB, kafka Kafka, topics Topics, r *Router) (d *Downlink, stop func()) {
	t.Helper()
	d, err := NewDownlink(DownlinkConfig{Kafka: kafka, Topics: topics, Router: r})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return d, stop
}

// publish writes records to the downlink and waits until they are acknowledged.
func publish(t testing.TB, b *testBroker, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.DefaultProduceTopicAlways(), kgo.DefaultProduceTopic(b.topics.Downlink), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(testContext(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func pushTo(t testing.TB, target, payload string) *kgo.Record {
	t.Helper()
	to, err := ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	p := Push{To: to, Opcode: session.Text, Payload: []byte(payload)}
	return p.Record("", time.Now())
}

func TestDownlinkDelivers(t *testing.T) {
	broker := startBroker(t)
	id := session.ID{Incarnation: 7, Slot: 3, Generation: 2}
	local := newNode("user:dev1", "session:"+id.String())
	d, _ := startDownlink(t, broker, local)
	expired := pushTo(t, "user:dev1", "late")
	expired.Timestamp = time.Now().Add(-time.Minute)
	expired.Headers = append(expired.Headers, kgo.RecordHeader{Key: HeaderTTL, Value: []byte("1000")})
	publish(t, broker,
		pushTo(t, "user:dev1", "one"), pushTo(t, "user:dev1", "two"),
		pushTo(t, "session:"+id.String(), "three"), pushTo(t, "all", "four"),
		pushTo(t, "user:nobody", "x"), expired,
		&kgo.Record{Value: []byte("no target")},
	)
	eventually(t, "all records are consumed", func() bool { return d.Stats().Records == 7 })
	if diff := cmp.Diff(DownlinkStats{Records: 7, Malformed: 1}, d.Stats()); diff != "" {
		t.Errorf("downlink's stats (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(RouterStats{Delivered: 4, Offline: 1, Expired: 1}, d.cfg.Router.Stats()); diff != "" {
		t.Errorf("router's stats (-want +got):\n%s", diff)
	}
	var mine []string
	for _, g := range local.received() {
		if strings.HasPrefix(g, "user:") {
			mine = append(mine, g)
		}
	}
	if diff := cmp.Diff([]string{"user:dev1=one", "user:dev1=two"}, mine); diff != "" {
		t.Errorf("one principal's pushes (-want +got):\n%s", diff)
	}
}

// A node that restarts goes on where it stopped: nothing twice, nothing left out.
func TestDownlinkContinuesAfterRestart(t *testing.T) {
	broker := startBroker(t)
	local := newNode("user:dev1")
	var want []string
	for round := range 3 {
		_, stop := startDownlink(t, broker, local)
		if round == 0 {
			publish(t, broker, pushTo(t, "user:dev1", "first"))
			want = append(want, "user:dev1=first")
		}
		eventually(t, fmt.Sprintf("round %d", round), func() bool { return len(local.received()) == len(want) })
		stop()
		publish(t, broker, pushTo(t, "user:dev1", fmt.Sprint("while away ", round)))
		want = append(want, fmt.Sprint("user:dev1=while away ", round))
	}
	_, stop := startDownlink(t, broker, local)
	eventually(t, "the last", func() bool { return len(local.received()) == len(want) })
	stop()
	if diff := cmp.Diff(want, local.received()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDownlinkWaitsForRoom(t *testing.T) {
	broker := startBroker(t)
	local := newNode("user:dev1")
	local.full = 5
	d, _ := startDownlink(t, broker, local)
	publish(t, broker, pushTo(t, "user:dev1", "patient"))
	eventually(t, "the push is delivered", func() bool { return len(local.received()) == 1 })
	if s := d.cfg.Router.Stats(); s.Full != 0 || s.Delivered != 1 {
		t.Errorf("stats %+v, want one delivered", s)
	}
	low := pushTo(t, "user:dev1", "dropped")
	low.Headers = append([]kgo.RecordHeader{{Key: HeaderPriority, Value: []byte("low")}}, low.Headers...)
	local.mu.Lock()
	local.full = 1
	local.mu.Unlock()
	publish(t, broker, low)
	eventually(t, "the low push is counted", func() bool { return d.cfg.Router.Stats().Full == 1 })
}

func TestParsePush(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	headers := func(pairs ...string) (h []kgo.RecordHeader) {
		for i := 0; i < len(pairs); i += 2 {
			h = append(h, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
		}
		return h
	}
	full := Push{
		To: Target{Kind: ToGroup, Name: "g:1"}, ID: "id-1", Opcode: session.Binary, Priority: session.Low,
		Expires: now.Add(1500 * time.Millisecond), Payload: []byte("x"),
	}
	for _, c := range []struct {
		name    string
		headers []kgo.RecordHeader
		want    Push
		fault   string
	}{
		{"defaults", headers("limpet-to", "user:a"), Push{To: Target{Kind: ToUser, Name: "a"}, Opcode: session.Text, Payload: []byte("x")}, ""},
		{"everything", headers("limpet-to", "group:g:1", "limpet-opcode", "binary", "limpet-priority", "low", "limpet-ttl", "1500", "limpet-id", "id-1"), full, ""},
		{"round trip", full.Record("t", now).Headers, full, ""},
		{"order", headers("limpet-to", "user:a", "limpet-control", "join", "limpet-group", "g"), Push{To: Target{Kind: ToUser, Name: "a"}, Opcode: session.Text, Payload: []byte("x"), Control: Join, Group: "g"}, ""},
		{"extend", headers("limpet-to", "user:a", "limpet-control", "extend", "limpet-until", "1500000"), Push{To: Target{Kind: ToUser, Name: "a"}, Opcode: session.Text, Payload: []byte("x"), Control: Extend, Until: now.Add(500 * time.Second)}, ""},
		{"extend, round trip", (&Push{To: Target{Kind: ToUser, Name: "a"}, Opcode: session.Text, Control: Extend}).Record("t", now).Headers, Push{To: Target{Kind: ToUser, Name: "a"}, Opcode: session.Text, Payload: []byte("x"), Control: Extend}, ""},
		{"extend without a time", headers("limpet-to", "user:a", "limpet-control", "extend"), Push{}, "limpet-until"},
		{"extend beyond the clock", headers("limpet-to", "user:a", "limpet-control", "extend", "limpet-until", "9223372036854775807"), Push{}, "limpet-until"},
		{"extend a session", headers("limpet-to", "session:"+strings.Repeat("1", 32), "limpet-control", "extend", "limpet-until", "1"), Push{}, "limpet-control"},
		{"unknown order", headers("limpet-to", "user:a", "limpet-control", "dance"), Push{}, "limpet-control"},
		{"order without group", headers("limpet-to", "user:a", "limpet-control", "leave"), Push{}, "limpet-group"},
		{"order to all", headers("limpet-to", "all", "limpet-control", "close"), Push{}, "limpet-control"},
		{"no target", nil, Push{}, "limpet-to"},
		{"empty name", headers("limpet-to", "user:"), Push{}, "limpet-to"},
		{"unknown kind", headers("limpet-to", "topic:x"), Push{}, "limpet-to"},
		{"long name", headers("limpet-to", "user:"+strings.Repeat("x", 129)), Push{}, "128"},
		{"bad session", headers("limpet-to", "session:12"), Push{}, "limpet-to"},
		{"bad opcode", headers("limpet-to", "all", "limpet-opcode", "ping"), Push{}, "limpet-opcode"},
		{"bad priority", headers("limpet-to", "all", "limpet-priority", "urgent"), Push{}, "limpet-priority"},
		{"bad ttl", headers("limpet-to", "all", "limpet-ttl", "1s"), Push{}, "limpet-ttl"},
		{"ttl of nothing", headers("limpet-to", "all", "limpet-ttl", "0"), Push{}, "limpet-ttl"},
		{"ttl beyond the clock", headers("limpet-to", "all", "limpet-ttl", "9223372036854775807"), Push{}, "limpet-ttl"},
		{"long id", headers("limpet-to", "all", "limpet-id", strings.Repeat("x", 129)), Push{}, "limpet-id"},
	} {
		got, err := ParsePush(&kgo.Record{Headers: c.headers, Value: []byte("x"), Timestamp: now})
		if c.fault != "" {
			if !errors.Is(err, ErrBadPush) || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v, want ErrBadPush about %s", c.name, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(Push{}), cmpopts.EquateComparable(tracing.Trace{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	// What clients would have to end their connection for is not sent to them.
	invalid := kgo.Record{Headers: headers("limpet-to", "all"), Value: []byte("\xff")}
	if _, err := ParsePush(&invalid); !errors.Is(err, ErrBadPush) || !strings.Contains(err.Error(), "limpet-opcode") {
		t.Errorf("text that is not UTF-8: %v, want ErrBadPush about limpet-opcode", err)
	}
	invalid.Headers = headers("limpet-to", "all", "limpet-opcode", "binary")
	if _, err := ParsePush(&invalid); err != nil {
		t.Errorf("bytes that are not UTF-8: %v", err)
	}
	if full.Expired(now) || !full.Expired(now.Add(1500*time.Millisecond)) {
		t.Error("a push expires exactly when its ttl is over")
	}
}
