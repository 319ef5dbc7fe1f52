package bridge

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/bridge/embedded"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type (
	cluster      = *kfake.Cluster
	kmsgRequest  = kmsg.Request
	kmsgResponse = kmsg.Response
)

const (
	produceKey      = int16(kmsg.Produce)
	initProducerKey = int16(kmsg.InitProducerID)
)

// outageTime is how long the broker is away in TestUplinkOutage and
// TestUplinkKafkaKilled: short by default, a minute where LIMPET_TEST_OUTAGE=60s
// says so.
func outageTime(t *testing.T) time.Duration {
	text := os.Getenv("LIMPET_TEST_OUTAGE")
	if text == "" {
		return 2 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The broker goes away under load and comes back: nothing that was accepted is
// lost, what could not be was refused, memory was bounded.
func TestUplinkOutage(t *testing.T) {
	t.Parallel() // it may take a minute, beside others
	dir := t.TempDir()
	topics := embeddedTopics(4, 8)
	broker, err := embedded.Start(embedded.Config{DataDir: dir, Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	b := &testBroker{addr: broker.Addr(), topics: NewTopics(DefaultTopicPrefix)}
	const limit = 1 << 20
	u := startUplink(t, b, UplinkConfig{BufferedBytes: limit, MaxMessageBytes: 1024, ProduceTimeout: 500 * time.Millisecond})
	l := startLedger(t, u, limit)
	eventually(t, "messages are acknowledged", func() bool { return u.Stats().Acked > 1000 })
	broker.Close()
	time.Sleep(outageTime(t))
	if refused, _ := l.seen(); refused == 0 {
		t.Error("nothing was refused: the outage is not felt")
	}
	broker, err = embedded.Start(embedded.Config{Addr: b.addr, DataDir: dir, Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	acked := u.Stats().Acked
	eventually(t, "messages are acknowledged again", func() bool { return u.Stats().Acked > acked+2000 })
	l.check(b)
}

// A real Kafka is killed under load and started again after a while.
func TestUplinkKafkaKilled(t *testing.T) {
	if realKafka == nil {
		return // TestUplinkOutage is the same with the embedded broker
	}
	t.Parallel() // with TestUplinkOutage, when all that need this Kafka are through
	b := startBroker(t)
	const limit = 4 << 20
	u := startUplink(t, b, UplinkConfig{BufferedBytes: limit, MaxMessageBytes: 1024})
	l := startLedger(t, u, limit)
	eventually(t, "messages are acknowledged", func() bool { return u.Stats().Acked > 1000 })
	realKafka.Kill()
	time.Sleep(outageTime(t))
	if refused, _ := l.seen(); refused == 0 {
		t.Error("nothing was refused: the outage is not felt")
	}
	if err := realKafka.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	acked := u.Stats().Acked
	eventually(t, "messages are acknowledged again", func() bool { return u.Stats().Acked > acked+1000 })
	l.check(b)
}

// Partitions change their leader over and over, under load.
func TestUplinkLeaderMoves(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b := &testBroker{addr: c.ListenAddrs()[0], topics: NewTopics(DefaultTopicPrefix), cluster: c}
	const limit = 4 << 20
	u := startUplink(t, b, UplinkConfig{BufferedBytes: limit, Partitions: 4})
	l := startLedger(t, u, limit)
	for round := range 6 {
		acked := u.Stats().Acked
		eventually(t, "messages are acknowledged", func() bool { return u.Stats().Acked > acked+300 })
		for p := range int32(4) {
			if err := c.MoveTopicPartition(b.topics.Uplink, p, (int32(round)+p)%3); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.check(b)
}

// A broker takes requests and never answers them, having stored what they
// bring or not: the client gives up on the connection and sends again.
func TestUplinkBrokerSwallowsRequests(t *testing.T) {
	b := startEmbedded(t)
	const limit = 2 << 20
	u := startUplink(t, b, UplinkConfig{BufferedBytes: limit, ProduceTimeout: 200 * time.Millisecond})
	l := startLedger(t, u, limit)
	eventually(t, "messages are acknowledged", func() bool { return u.Stats().Acked > 500 })
	resume := stall(t, b.cluster)
	time.Sleep(1700 * time.Millisecond) // beyond the time-out of a request, 1.2 s
	resume()
	acked := u.Stats().Acked
	eventually(t, "messages are acknowledged again", func() bool { return u.Stats().Acked > acked+500 })
	l.check(b)
}

// Somebody deletes the topic: it is made again, and what was not acknowledged
// goes there.
func TestUplinkTopicDeleted(t *testing.T) {
	b := startEmbedded(t)
	u := startUplink(t, b, UplinkConfig{Partitions: 4})
	if u.Accept(message("a", "before", session.High)) != Accepted {
		t.Fatal("not accepted")
	}
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := b.cluster.DeleteTopic(b.topics.Uplink); err != nil {
		t.Fatal(err)
	}
	const principals, each = 20, 50
	for i := range each {
		for p := range principals {
			u.Accept(message(fmt.Sprint("p", p), numbered(i), session.High))
		}
	}
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for _, r := range consume(t, b.addr, b.topics.Uplink, principals*each) {
		key := string(r.Key)
		if string(r.Value) != numbered(next[key]) {
			t.Fatalf("%s: %s, want %s", key, r.Value, numbered(next[key]))
		}
		next[key]++
	}
}

// The topic takes smaller messages than it did at start: what is too large for
// it is reported, and takes nothing with it that shared its batch.
func TestUplinkMessageTooLargeForTheBroker(t *testing.T) {
	b := startBroker(t)
	var rejected atomic.Int32
	u := startUplink(t, b, UplinkConfig{Workers: 1, OnRejected: func(id session.ID, p session.Priority, err error) {
		if p != session.High || id.Slot != 1 || !tooLarge(err) {
			t.Errorf("rejected %v %v: %v", id, p, err)
		}
		rejected.Add(1)
	}})
	setTopic(t, b, "max.message.bytes", "4096")
	big := strings.Repeat("x", 8192)
	for i := range 30 {
		u.Accept(message("a", numbered(i), session.High))
		if i%10 == 5 {
			u.Accept(message("a", big, session.High))
		}
	}
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for i, r := range consume(t, b.addr, b.topics.Uplink, 30) {
		if string(r.Value) != numbered(i) {
			t.Fatalf("record %d is %.10s", i, r.Value)
		}
	}
	if s := u.Stats(); rejected.Load() != 3 || s.Rejected != 3 || s.Acked != 30 {
		t.Errorf("%d reported, stats %+v; want 3 rejected and 30 acknowledged", rejected.Load(), s)
	}
	// A new uplink knows what the topic takes and refuses at once.
	u = startUplink(t, b, UplinkConfig{})
	if v := u.Accept(message("a", big, session.High)); v != Refused {
		t.Errorf("too large for the topic: %v, want refused", v)
	}
	if v := u.Accept(message("a", big[:2000], session.High)); v != Accepted {
		t.Errorf("small enough: %v", v)
	}
}

func setTopic(t *testing.T, b *testBroker, name, value string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, b.topics.Uplink
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = name, kmsg.StringPtr(value)
	resource.Configs = append(resource.Configs, config)
	request.Resources = append(request.Resources, resource)
	if _, err := request.RequestWith(testContext(t), client); err != nil {
		t.Fatal(err)
	}
}

// NewUplink fails in time, with words, when nobody is there.
func TestUplinkWithoutBroker(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	begin := time.Now()
	_, err = NewUplink(testContext(t), UplinkConfig{Kafka: Kafka{Brokers: []string{addr}}})
	if err == nil || !strings.Contains(err.Error(), "Kafka at "+addr) {
		t.Errorf("NewUplink: %v", err)
	}
	if took := time.Since(begin); took > startTimeout+time.Second {
		t.Errorf("it took %v", took)
	}
}
