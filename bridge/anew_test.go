package bridge

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/limpet-gateway/limpet/internal/logtest"
	"github.com/twmb/franz-go/pkg/kadm"
)

// replaceTopic deletes a topic and makes it anew.
func replaceTopic(t *testing.T, b *testBroker, topic string, partitions int32) {
	t.Helper()
	client, err := b.kafka().newClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopics(testContext(t), topic); err != nil {
		t.Fatal(err)
	}
	eventually(t, topic+" is made anew", func() bool { // deleting takes a real Kafka a while
		return ensureTopics(testContext(t), client, []TopicSpec{{topic, partitions, 1}}) == nil
	})
}

// Somebody deletes and makes anew each of the topics in which pushes are. Nodes
// that run read the new ones, without a flood in the log.
func TestTopicsMadeAnewUnderNodes(t *testing.T) {
	broker := startBroker(t)
	var log logtest.Log
	logger := slog.New(slog.NewTextHandler(&log, nil))
	dir := &wires{users: map[string][]uint64{"b": {2}}}
	l := newLeases()
	a, b := startLogging(t, broker, 1, dir, l.of(1, 8), logger), startLogging(t, broker, 2, dir, l.of(2, 8), logger)
	b.online["user:b"], b.online["all"] = true, true
	arrives := func(what string, send func(payload string)) {
		t.Helper()
		n := 0
		eventually(t, what, func() bool {
			n++
			send(what + numbered(n))
			return slices.ContainsFunc(b.received(), func(got string) bool { return strings.Contains(got, "="+what) })
		})
	}
	routed := func(to string) func(string) { return func(payload string) { a.routeFrom(t, to, payload) } }
	arrives("inbox", routed("user:b"))
	arrives("broadcast", routed("all"))

	replaceTopic(t, broker, broker.topics.Inbox, 8)
	arrives("new-inbox", routed("user:b"))
	replaceTopic(t, broker, broker.topics.Broadcast, 1)
	arrives("new-broadcast", routed("all"))
	replaceTopic(t, broker, broker.topics.Downlink, 4)
	arrives("new-downlink", func(payload string) { publish(t, broker, pushTo(t, "user:b", payload)) })
	if lines := log.Count("\n"); lines > 30 {
		t.Errorf("%d lines in the log, the last:\n%s", lines, log.String()[max(0, len(log.String())-3000):])
	}
}

// A topic in which nothing is written at the moment, and that is deleted, is
// made anew all the same, or said to be gone.
func TestDeletedTopicsAreNoticed(t *testing.T) {
	broker := startBroker(t)
	keeps := startUplink(t, broker, UplinkConfig{Node: "n", KeepTopics: true})
	makes := startUplink(t, broker, UplinkConfig{Node: "n"})
	client, err := broker.kafka().newClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopics(testContext(t), broker.topics.Downlink); err != nil {
		t.Fatal(err)
	}
	eventually(t, "without leave to create it it is missed", func() bool { // a client remembers for a moment which there were
		err := keeps.keepTopics(testContext(t))
		return errors.Is(err, errTopicsGone) && strings.Contains(err.Error(), broker.topics.Downlink)
	})
	eventually(t, "with leave it is made anew", func() bool {
		return makes.keepTopics(testContext(t)) == nil && keeps.keepTopics(testContext(t)) == nil
	})
}
