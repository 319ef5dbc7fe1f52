package bridge

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// faultPause is how long a consumer rests that was given an error in place
	// of records: the library hands out some of them again at once.
	faultPause = 250 * time.Millisecond

	// faultSilence is how long the same error of a topic is not logged again.
	faultSilence = time.Minute

	// replacedPause is how long what a client had asked for before it forgot a
	// topic may still fail for that.
	replacedPause = 2 * time.Second
)

// faults says what goes wrong with what a client consumes: once for each error
// of a topic, and once more for each minute that it lasts, not for each
// partition at each try. Any goroutine.
type faults struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[[2]string]time.Time // guarded by mu; topic and error
	anew map[string]time.Time    // guarded by mu; when a topic was last found to be another one
}

func (f *faults) say(msg, topic string, partition int32, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, key := time.Now(), [2]string{topic, msg + err.Error()}
	if now.Sub(f.said[key]) < faultSilence {
		return
	}
	for k, at := range f.said {
		if now.Sub(at) >= faultSilence {
			delete(f.said, k)
		}
	}
	if f.said == nil {
		f.said = map[[2]string]time.Time{}
	}
	f.said[key] = now
	f.log.Warn(msg, "topic", topic, "partition", partition, "error", err)
}

// replaced reports whether to forget a topic with which something failed because
// it was made anew: the first time.
func (f *faults) replaced(topic string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.anew[topic]) < replacedPause {
		return false
	}
	if f.anew == nil {
		f.anew = map[string]time.Time{}
	}
	f.anew[topic] = time.Now()
	return true
}

// fetched deals with the errors among what was fetched: it returns the topics
// that were deleted and made anew, of which a client reads nothing more until it
// has forgotten the former one, and whether the consumer should rest.
func (f *faults) fetched(fetches kgo.Fetches) (anew []string, rest bool) {
	fetches.EachError(func(topic string, partition int32, err error) {
		if group := (*kgo.ErrGroupSession)(nil); errors.As(err, &group) {
			return // member has said it
		}
		rest = true
		if !errors.Is(err, kerr.UnknownTopicID) {
			f.say("kafka: fetch failed", topic, partition, err)
		} else if f.replaced(topic) {
			anew = append(anew, topic)
		}
	})
	return anew, rest
}
