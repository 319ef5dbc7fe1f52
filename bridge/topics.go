package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// DefaultTopicPrefix is what the names of all topics begin with unless
// configured otherwise.
const DefaultTopicPrefix = "limpet."

// Topics names the topics of one installation.
type Topics struct {
	Uplink    string // messages of sessions, keyed by principal
	Events    string // connected, disconnected, lost ..., keyed by principal
	Downlink  string // what business services write; consumed by the group of all nodes
	Inbox     string // pushes forwarded to the node that owns the session
	Broadcast string // pushes for every node
}

// NewTopics returns the names that begin with prefix.
func NewTopics(prefix string) Topics {
	return Topics{
		Uplink:    prefix + "uplink",
		Events:    prefix + "events",
		Downlink:  prefix + "downlink",
		Inbox:     prefix + "inbox",
		Broadcast: prefix + "broadcast",
	}
}

// TopicSpec is a topic that should exist.
type TopicSpec struct {
	Name       string
	Partitions int32
	Weight     int // share of an embedded broker's space
}

// Specs lists the topics with their partitions. inbox needs one partition for
// each node there may be; the order of broadcasts is kept by having one.
func (t Topics) Specs(partitions, inboxPartitions int32) []TopicSpec {
	return []TopicSpec{
		{t.Uplink, partitions, 4},
		{t.Events, partitions, 1},
		{t.Downlink, partitions, 1},
		{t.Inbox, inboxPartitions, 1},
		{t.Broadcast, 1, 1},
	}
}

// ensureTopics creates the topics that do not exist, with the broker's default
// replication, and returns when the brokers know them: a controller answers
// before that. Existing ones stay as they are.
func ensureTopics(ctx context.Context, client *kgo.Client, specs []TopicSpec) error {
	missing, err := missingTopics(ctx, client, specs)
	if err != nil || len(missing) == 0 {
		return err
	}
	var created []TopicSpec
	admin := kadm.NewClient(client)
	var faults []error
	for _, s := range specs {
		if !slices.Contains(missing, s.Name) {
			continue
		}
		response, err := admin.CreateTopic(ctx, s.Partitions, -1, nil, s.Name)
		if err == nil {
			err = response.Err
		}
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			faults = append(faults, fmt.Errorf("create topic %s: %w", s.Name, err))
		}
		created = append(created, s)
	}
	for len(faults) == 0 && len(missing) > 0 {
		select {
		case <-time.After(topicPoll):
		case <-ctx.Done():
			return fmt.Errorf("topics %s were created and do not appear: %w", strings.Join(missing, ", "), ctx.Err())
		}
		if missing, err = notServed(ctx, client, created, true); err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}

// topicPoll is how often ensureTopics looks for what it created.
const topicPoll = 20 * time.Millisecond

// missingTopics returns the topics of specs that do not exist.
func missingTopics(ctx context.Context, client *kgo.Client, specs []TopicSpec) ([]string, error) {
	return notServed(ctx, client, specs, false)
}

// notServed returns the topics that do not exist or, if that matters, of which
// a partition has no leader.
func notServed(ctx context.Context, client *kgo.Client, specs []TopicSpec, leaders bool) ([]string, error) {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	existing, err := kadm.NewClient(client).ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var missing []string
	for _, name := range names {
		d, ok := existing[name]
		headless := false
		for _, p := range d.Partitions {
			headless = headless || leaders && p.Leader < 0
		}
		if !ok || d.Err != nil || headless {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// ErrTopicsMissing is wrapped by errors that name topics which do not exist
// and may not be created.
var ErrTopicsMissing = errors.New("topics do not exist and creating them is switched off")

func missingError(names []string) error {
	return fmt.Errorf("%w: %s", ErrTopicsMissing, strings.Join(names, ", "))
}

// settleTopics creates the topics that are missing or, where it may not, fails
// with ErrTopicsMissing.
func settleTopics(ctx context.Context, client *kgo.Client, specs []TopicSpec, keep bool) error {
	if !keep {
		return ensureTopics(ctx, client, specs)
	}
	missing, err := missingTopics(ctx, client, specs)
	if err == nil && len(missing) > 0 {
		err = missingError(missing)
	}
	return err
}

// maxMessageBytes returns the largest batch that the topic takes.
func maxMessageBytes(ctx context.Context, client *kgo.Client, topic string) (int, error) {
	const name = "max.message.bytes"
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, topic)
	if err == nil {
		var c kadm.ResourceConfig
		if c, err = configs.On(topic, nil); err == nil {
			err = c.Err
			for _, kv := range c.Configs {
				if kv.Key == name && kv.Value != nil {
					return strconv.Atoi(*kv.Value)
				}
			}
		}
	}
	if err != nil {
		return 0, fmt.Errorf("read %s of topic %s: %w", name, topic, err)
	}
	return defaultBatchBytes, nil
}

// topicIdentity tells a topic from one of the same name that was made anew.
type topicIdentity struct {
	is, other kadm.TopicID // the latter was seen once, and is not believed yet
}

// changed takes the id that a broker tells now, and reports whether the topic is
// another one: told twice, since a broker may be behind. A broker that knows no
// ids, as before Kafka 2.8, tells nothing.
func (t *topicIdentity) changed(id kadm.TopicID) bool {
	none := kadm.TopicID{}
	switch {
	case id == none:
	case t.is == none, id == t.is:
		t.is, t.other = id, none
	case id != t.other:
		t.other = id
	default:
		t.is, t.other = id, none
		return true
	}
	return false
}
