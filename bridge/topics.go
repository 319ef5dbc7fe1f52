package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"

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

// EnsureTopics creates the topics that do not exist, with the broker's default
// replication. Existing ones stay as they are.
func EnsureTopics(ctx context.Context, client *kgo.Client, specs []TopicSpec) error {
	admin := kadm.NewClient(client)
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	existing, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var faults []error
	for _, s := range specs {
		if d, ok := existing[s.Name]; ok && d.Err == nil {
			continue
		}
		response, err := admin.CreateTopic(ctx, s.Partitions, -1, nil, s.Name)
		if err == nil {
			err = response.Err
		}
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			faults = append(faults, fmt.Errorf("create topic %s: %w", s.Name, err))
		}
	}
	return errors.Join(faults...)
}

// MissingTopics returns the topics of specs that do not exist.
func MissingTopics(ctx context.Context, client *kgo.Client, specs []TopicSpec) ([]string, error) {
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
		if d, ok := existing[name]; !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
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
