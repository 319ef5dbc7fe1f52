package bridge

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

func TestTopicIdentity(t *testing.T) {
	first, second, none := kadm.TopicID{1}, kadm.TopicID{2}, kadm.TopicID{}
	var topic topicIdentity
	for i, step := range []struct {
		told    kadm.TopicID
		changed bool
	}{
		{none, false}, {first, false}, {first, false},
		{second, false}, {first, false}, {second, false}, {none, false}, // a broker that is behind, or knows no ids
		{second, true}, {second, false}, {second, false},
		{first, false}, {first, true},
	} {
		if got := topic.changed(step.told); got != step.changed {
			t.Errorf("step %d: changed %v, want %v", i, got, step.changed)
		}
	}
}
