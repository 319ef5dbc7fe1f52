package bridge

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/logtest"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A program of somebody else is in the consumer group and divides the partitions
// another way. The group does not take this node: who looks has to see that, and
// to read it once.
func TestDownlinkThatTheGroupDoesNotTake(t *testing.T) {
	broker := startBroker(t)
	foreign, err := kgo.NewClient(kgo.SeedBrokers(broker.addr), kgo.ConsumerGroup(broker.topics.Downlink),
		kgo.ConsumeTopics(broker.topics.Downlink), kgo.Balancers(kgo.RangeBalancer()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	eventually(t, "the other program is in the group", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		foreign.PollFetches(ctx)
		_, generation := foreign.GroupMetadata()
		return generation > 0
	})

	var log logtest.Log
	reasons := make(chan error, 100)
	kafka := broker.kafka()
	kafka.Logger = slog.New(slog.NewTextHandler(&log, nil))
	local := newNode("user:a")
	d, err := NewDownlink(DownlinkConfig{
		Kafka: kafka, Topics: broker.topics, Local: local,
		Changed: func(why error) { reasons <- why },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	if why := <-reasons; why == nil || !strings.Contains(why.Error(), "INCONSISTENT_GROUP_PROTOCOL") || d.Member() {
		t.Fatalf("reason %v, member %v", why, d.Member())
	}
	time.Sleep(time.Second) // the library tries again several times
	foreign.Close()
	if why := <-reasons; why != nil {
		t.Errorf("then the reason is %v", why)
	}
	publish(t, broker, pushTo(t, "user:a", "1"))
	eventually(t, "a push arrives", func() bool { return len(local.received()) == 1 })
	if !d.Member() {
		t.Error("not a member of the group that it reads with")
	}
	if log.Count("level=WARN") != 1 || log.Count("level=ERROR") != 0 || log.Count("again") != 1 {
		t.Errorf("logged, want one warning and its end:\n%s", &log)
	}
}
