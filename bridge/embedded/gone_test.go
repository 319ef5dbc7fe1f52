package embedded

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A client that has met two topics which are gone now, or which an earlier
// broker in memory had, is told so, and the broker goes on.
func TestProduceToTwoTopicsThatAreGone(t *testing.T) {
	b, err := Start(Config{Topics: testTopics})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ManualFlushing(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(1), kgo.UnknownTopicRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(want bool) { // both in one request
		for _, topic := range testTopics {
			client.Produce(t.Context(), &kgo.Record{Topic: topic.Name}, func(_ *kgo.Record, err error) {
				if (err == nil) != want {
					t.Errorf("%s: %v", topic.Name, err)
				}
			})
		}
		if err := client.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	send(true)
	for _, topic := range testTopics {
		if err := b.Cluster().DeleteTopic(topic.Name); err != nil {
			t.Fatal(err)
		}
	}
	send(false)
	for _, topic := range testTopics {
		if err := b.Cluster().CreateTopic(topic.Name, topic.Partitions, nil); err != nil {
			t.Fatal(err)
		}
	}
	again, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic(testTopic))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
		t.Error(err)
	}
}
