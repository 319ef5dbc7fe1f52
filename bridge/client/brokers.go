package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newClient(brokers []string, more ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("limpet-cli"),
		kgo.MetadataMinAge(250 * time.Millisecond),
	}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return client, nil
}

// reachTimeout bounds the first question to the brokers.
const reachTimeout = 5 * time.Second

// reachable tells in words why nothing can be done with topic, before the
// client's own retries hide it.
func reachable(ctx context.Context, client *kgo.Client, brokers []string, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return fmt.Errorf("no Kafka broker answers at %v: %w", brokers, err)
	}
	if d, ok := topics[topic]; !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("topic %s does not exist at %v", topic, brokers)
	}
	return nil
}
