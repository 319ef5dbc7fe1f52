package bridge

import (
	"slices"
	"testing"

	"github.com/limpet-gateway/limpet/internal/session"
)

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
	if l := u.Stats().Latency; l.Count != n || l.Sum <= 0 || l.Sum > n*30 {
		t.Errorf("latency of %d acknowledgements, %v s in sum", l.Count, l.Sum)
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

// So does what came by the inbox, and a node without one has no lag of it.
func TestBusLag(t *testing.T) {
	broker := startBroker(t)
	l := newLeases()
	n := startNode(t, broker, 1, nil, l.of(1, 8))
	has := func(topic string, partition int32) bool {
		return slices.ContainsFunc(n.bus.Lag(), func(p PartitionLag) bool { return p.Topic == topic && p.Partition == partition })
	}
	mine, ok := l.partitionOf(1)
	if !ok {
		t.Fatal("no inbox")
	}
	eventually(t, "the inbox is read", func() bool { return has(broker.topics.Inbox, mine) })
	if !has(broker.topics.Broadcast, 0) {
		t.Errorf("no broadcasts in %+v", n.bus.Lag())
	}
	if got := len(n.bus.Lag()); got != 2 {
		t.Errorf("%d partitions, want one of the inbox and one of the broadcasts", got)
	}
	l.give(mine, 2)
	eventually(t, "the inbox is given up", func() bool { return !has(broker.topics.Inbox, mine) })
}
