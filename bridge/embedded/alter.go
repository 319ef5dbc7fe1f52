package embedded

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// alterTimeout bounds the change of one topic's settings, on loopback to the
// own process.
const alterTimeout = 10 * time.Second

// alterTopic sets configuration values of an existing topic. kfake offers no
// way to do so but the protocol.
func alterTopic(ctx context.Context, addr, topic string, settings map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, alterTimeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer client.Close()
	var configs []kadm.AlterConfig
	for name, value := range settings {
		configs = append(configs, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: kadm.StringPtr(value)})
	}
	responses, err := kadm.NewClient(client).AlterTopicConfigs(ctx, configs, topic)
	if err != nil {
		return err
	}
	_, err = responses.On(topic, nil)
	if err != nil {
		return err
	}
	return responses[0].Err
}
