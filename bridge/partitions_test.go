package bridge

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// addPartitions has a topic have n partitions, while everything runs.
func addPartitions(t *testing.T, b *testBroker, topic string, n int) {
	t.Helper()
	client, err := b.kafka().newClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	added, err := admin.UpdatePartitions(testContext(t), n, topic)
	if err == nil {
		err = added.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the broker knows the partitions of "+topic, func() bool {
		topics, err := admin.ListTopics(testContext(t), topic)
		return err == nil && len(topics[topic].Partitions) == n
	})
}

// An operator has added partitions to the inbox and started a node, which leases
// one that the others do not know yet.
func TestPartitionsAddedToTheInbox(t *testing.T) {
	broker := startBroker(t)
	dir := &wires{users: map[string][]uint64{"b": {2}, "c": {3}}}
	l := newLeases()
	a, b := startNode(t, broker, 1, dir, l.of(1, 8)), startNode(t, broker, 2, dir, l.of(2, 8))
	b.online["user:b"] = true
	a.routeFrom(t, "user:b", "1") // from here on the client of a has the partitions by heart
	b.awaits(t, "user:b=1")

	addPartitions(t, broker, broker.topics.Inbox, 12)
	c := startNode(t, broker, 3, dir, l.of(3, 0))
	c.online["user:c"] = true
	l.give(11, 3)
	eventually(t, "c reads its inbox", func() bool {
		c.bus.mu.Lock()
		defer c.bus.mu.Unlock()
		return c.bus.inbox.reading == 11
	})
	if r := a.routeFrom(t, "user:c", "2"); r.Forwarded != 1 || r.Why != "" {
		t.Errorf("a push to the new node: %+v", r)
	}
	c.awaits(t, "user:c=2")
	eventually(t, "the inbox of the new node is used", func() bool {
		a.routeFrom(t, "user:c", "again")
		return written(t, broker, broker.topics.Inbox)[11] > 0
	})
	if got := b.received(); len(got) != 1 {
		t.Errorf("another node took %v", got)
	}
}

// Nodes that were there before partitions were added to the topic of broadcasts
// have what a later one broadcasts.
func TestPartitionsAddedToTheBroadcasts(t *testing.T) {
	broker := startBroker(t)
	l := newLeases()
	a := startNode(t, broker, 1, &wires{}, l.of(1, 8))
	addPartitions(t, broker, broker.topics.Broadcast, 7)
	b := startNode(t, broker, 2, &wires{}, l.of(2, 8))
	a.online["all"], a.online["group:g"], b.online["all"] = true, true, true
	for _, n := range []*kafkaNode{b, a} {
		n.routeFrom(t, "all", "1")
	}
	eventually(t, "both have both", func() bool { return len(a.received()) == 2 && len(b.received()) == 2 })
}
