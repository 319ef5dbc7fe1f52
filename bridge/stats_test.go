package bridge

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/limpet-gateway/limpet/internal/session"
)

func TestLatencyBuckets(t *testing.T) {
	var l latency
	for _, d := range []time.Duration{-time.Second, 0, time.Millisecond, 2 * time.Millisecond, time.Second, time.Hour} {
		l.observe(d)
	}
	s := l.snapshot()
	if want := time.Hour + time.Second + 3*time.Millisecond; s.Count != 6 || s.Sum != want {
		t.Errorf("%d in %v, want 6 in %v", s.Count, s.Sum, want)
	}
	got := map[time.Duration]uint64{}
	for _, bound := range []time.Duration{time.Millisecond, 2500 * time.Microsecond, 500 * time.Millisecond, time.Second, 30 * time.Second} {
		got[bound] = s.Within[bound]
	}
	want := map[time.Duration]uint64{
		time.Millisecond: 3, 2500 * time.Microsecond: 4, 500 * time.Millisecond: 4, time.Second: 5, 30 * time.Second: 5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("within (-want +got):\n%s", diff)
	}
	if n := testing.AllocsPerRun(100, func() { l.observe(time.Second) }); n != 0 {
		t.Errorf("observing allocates %v times", n)
	}
}

// An acknowledged message was timed, and the requests that took it there are
// counted for all clients of the process together.
func TestUplinkCountsLatencyAndTraffic(t *testing.T) {
	broker := startBroker(t)
	var traffic Traffic
	u := startUplink(t, broker, UplinkConfig{Kafka: Kafka{Traffic: &traffic}})
	const n = 10
	for range n {
		if v := u.Accept(message("dev1", "hello", session.High)); v != Accepted {
			t.Fatal(v)
		}
	}
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if l := u.Stats().Latency; l.Count != n || l.Sum <= 0 || l.Sum > n*30*time.Second {
		t.Errorf("latency of %d acknowledgements, %v in sum", l.Count, l.Sum)
	}
	s := traffic.Stats()
	if s.Connects == 0 || s.Requests == 0 || s.RequestErrors != 0 || s.BytesWritten == 0 || s.BytesRead == 0 || s.Latency.Count != s.Requests {
		t.Errorf("traffic %+v", s)
	}
}

// gatedNode delivers when it is let.
type gatedNode struct {
	*node
	open chan struct{}
}

func (g *gatedNode) Session(_ session.ID, p *Push) Outcome {
	<-g.open
	return g.deliver(p)
}

// What was read and is not handed on counts as lag, until it is.
func TestDownlinkLag(t *testing.T) {
	broker := startBroker(t)
	const to = "session:00000000000000010000000100000001"
	local := &gatedNode{newNode(to), make(chan struct{})}
	d, stop := startDownlink(t, broker, local)
	lag := func() (partitions int, records int64) {
		for _, l := range d.Lag() {
			if l.Topic != broker.topics.Downlink {
				t.Fatalf("lag of %s", l.Topic)
			}
			records += l.Records
			partitions++
		}
		return partitions, records
	}
	record := pushTo(t, to, "a")
	publish(t, broker, record)
	eventually(t, "a lag of one record", func() bool { _, n := lag(); return n == 1 })
	close(local.open)
	eventually(t, "no lag", func() bool { _, n := lag(); return n == 0 })
	if partitions, _ := lag(); partitions == 0 {
		t.Error("no partition is known to be consumed")
	}
	if got := local.received(); len(got) != 1 {
		t.Errorf("delivered %v", got)
	}
	stop()
	if partitions, _ := lag(); partitions != 0 {
		t.Errorf("%d partitions have a lag on a node that has left", partitions)
	}
}
