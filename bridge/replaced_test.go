package bridge

import (
	"fmt"
	"slices"
	"testing"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The topic is taken for replaced though it is not, or records got through to
// the new one before that was noticed: what is produced afterwards is in Kafka,
// and not taken for a repetition of what is there.
func TestUplinkStartsAfreshOnALiveTopic(t *testing.T) {
	b := startBroker(t)
	u := startUplink(t, b, UplinkConfig{Partitions: 4})
	const rounds, each = 4, 50
	for round := range rounds {
		for i := range each {
			u.Accept(message("a", numbered(round*each+i), session.High))
		}
		if err := u.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if !u.renew(u.renewals.Load()) {
			t.Fatal("the uplink stopped")
		}
	}
	for i, r := range consume(t, b.addr, b.topics.Uplink, rounds*each) {
		if string(r.Value) != numbered(i) {
			t.Fatalf("record %d is %s", i, r.Value)
		}
	}
}

// Somebody deletes the topic again and again under load. What was acknowledged
// before goes with it. What was accepted after the last time, and what was not
// acknowledged then, is in the topic that was made for it.
func TestUplinkTopicDeletedUnderLoad(t *testing.T) {
	b := startBroker(t)
	client, err := b.kafka().newClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const limit = 4 << 20
	u := startUplink(t, b, UplinkConfig{BufferedBytes: limit, Partitions: 4, Workers: 4})
	l := startLedger(t, u, limit)
	var before []int // messages of each principal that may have gone with the topic
	for range 3 {
		acked := u.Stats().Acked
		eventually(t, "messages are acknowledged", func() bool { return u.Stats().Acked > acked+300 })
		b.replaceTopic(t, client)
		before = l.counts()
	}
	acked := u.Stats().Acked
	eventually(t, "messages are acknowledged again", func() bool { return u.Stats().Acked > acked+300 })
	l.end()
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	there := map[string][]int{}
	for _, r := range consumeAll(t, client, b.addr, b.topics.Uplink) {
		n := 0
		if _, err := fmt.Sscanf(string(r.Value[:6]), "%d", &n); err != nil {
			t.Fatal(err)
		}
		there[string(r.Key)] = append(there[string(r.Key)], n)
	}
	for p, accepted := range l.accepted {
		key := fmt.Sprintf("p%d", p)
		for n := before[p] + uncounted; n < accepted; n++ {
			if !slices.Contains(there[key], n) {
				t.Errorf("%s: message %d of %d is not in Kafka; %d were accepted before the last deletion", key, n, accepted, before[p])
				break
			}
		}
	}
	if s := u.Stats(); s.Lost+s.Rejected > 0 || s.BufferedBytes != 0 || l.most > limit {
		t.Errorf("stats %+v, at most %d bytes buffered", s, l.most)
	}
}

// replaceTopic deletes the uplink's topic, and returns when nothing is
// acknowledged any more that goes with it. The embedded broker deletes at once;
// Apache Kafka does so some time after it has said so, at the latest when there
// is a topic with another id.
func (b *testBroker) replaceTopic(t *testing.T, client *kgo.Client) {
	t.Helper()
	if b.cluster != nil {
		eventually(t, "there is a topic to delete", func() bool { return b.cluster.DeleteTopic(b.topics.Uplink) == nil })
		return
	}
	admin := kadm.NewClient(client)
	id := func() (id kadm.TopicID) {
		topics, err := admin.ListTopics(testContext(t), b.topics.Uplink)
		if err == nil && topics[b.topics.Uplink].Err == nil {
			id = topics[b.topics.Uplink].ID
		}
		return id
	}
	old := id()
	if _, err := admin.DeleteTopic(testContext(t), b.topics.Uplink); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the topic is made again", func() bool { now := id(); return now != (kadm.TopicID{}) && now != old })
}

// consumeAll returns all records of topic.
func consumeAll(t *testing.T, client *kgo.Client, addr, topic string) []*kgo.Record {
	t.Helper()
	ends, err := kadm.NewClient(client).ListEndOffsets(testContext(t), topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return consume(t, addr, topic, int(n))
}
