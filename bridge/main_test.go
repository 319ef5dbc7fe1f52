package bridge

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/bridge/embedded"
	"github.com/limpet-gateway/limpet/bridge/kafkatest"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

// realKafka is the broker that the tests use in place of the embedded one,
// apart from those that need its faults; nil where there are no artifacts.
var realKafka *kafkatest.Broker

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if libs := os.Getenv(kafkatest.LibsVariable); libs != "" && os.Getenv(diskFullDir) == "" {
		broker, err := kafkatest.New(libs)
		if err == nil {
			defer broker.Close()
			err = broker.Start(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		realKafka = broker
	}
	code := m.Run()
	ignore := goleak.IgnoreAnyFunction("github.com/limpet-gateway/limpet/bridge/kafkatest.(*Broker).Start.func2")
	if err := goleak.Find(ignore); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// testTimeout bounds everything that a test waits for.
const testTimeout = 20 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// testBroker is a broker with topics for one test.
type testBroker struct {
	addr    string
	topics  Topics
	cluster cluster // nil for a real Kafka
}

// startBroker returns a broker with all topics, a real Kafka if there is one.
// The topics are the test's own.
func startBroker(t testing.TB) *testBroker {
	t.Helper()
	if realKafka == nil {
		return startEmbedded(t)
	}
	addr := realKafka.Addr()
	b := &testBroker{addr: addr, topics: NewTopics(fmt.Sprintf("t%08x.", rand.Uint32()))}
	client, err := Kafka{Brokers: []string{addr}}.newClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	specs := b.topics.Specs(4, 8)
	if err := ensureTopics(testContext(t), client, specs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deleteTopics(t, addr, specs) })
	return b
}

// deleteTopics keeps a real broker from filling up with the topics of tests.
func deleteTopics(t testing.TB, addr string, specs []TopicSpec) {
	client, err := Kafka{Brokers: []string{addr}}.newClient()
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	if _, err := kadm.NewClient(client).DeleteTopics(testContext(t), names...); err != nil {
		t.Error(err)
	}
}

// startEmbedded returns an embedded broker with all topics, whose faults can be
// chosen.
func startEmbedded(t testing.TB) *testBroker {
	t.Helper()
	b, err := embedded.Start(embedded.Config{Topics: embeddedTopics(4, 8)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &testBroker{b.Addr(), NewTopics(DefaultTopicPrefix), b.Cluster()}
}

func (b *testBroker) kafka() Kafka { return Kafka{Brokers: []string{b.addr}} }

func embeddedTopics(partitions, inbox int32) []embedded.Topic {
	var topics []embedded.Topic
	for _, s := range NewTopics(DefaultTopicPrefix).Specs(partitions, inbox) {
		topics = append(topics, embedded.Topic{Name: s.Name, Partitions: s.Partitions, Weight: s.Weight})
	}
	return topics
}

// startUplink starts an uplink on b; cfg is the rest of its configuration.
func startUplink(t testing.TB, b *testBroker, cfg UplinkConfig) *Uplink {
	t.Helper()
	cfg.Kafka.Brokers = b.kafka().Brokers
	if cfg.Topics == (Topics{}) {
		cfg.Topics = b.topics
	}
	u, err := NewUplink(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = u.Close(ctx)
	})
	return u
}

// consume returns the first n records of topic, from its beginning.
func consume(t testing.TB, addr, topic string, n int) []*kgo.Record {
	t.Helper()
	ctx := testContext(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%s: %d of %d records came", topic, len(records), n)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// eventually fails the test unless ok becomes true in time.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(testTimeout); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func message(principal, payload string, p session.Priority) Message {
	return Message{
		Session:   session.ID{Incarnation: 1, Slot: 1, Generation: 1},
		Principal: []byte(principal), Opcode: session.Text, Priority: p, Payload: []byte(payload),
	}
}

func numbered(i int) string { return fmt.Sprintf("%06d", i) }
