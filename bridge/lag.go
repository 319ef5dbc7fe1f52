package bridge

import (
	"cmp"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// PartitionLag is how far a consumer is behind the end of one partition.
type PartitionLag struct {
	Topic     string
	Partition int32
	Records   int64 // written and not handed on
}

// lags remembers, for each partition that is consumed here, where it ended at
// the last answer that had records, and what was handed on of that. Any
// goroutine; the lock is taken once for a poll.
type lags struct {
	mu   sync.Mutex
	ends map[topicPartition]progress
}

type topicPartition struct {
	topic     string
	partition int32
}

type progress struct{ end, next int64 }

// fetched takes in what a poll brought, before it is handed on.
func (l *lags) fetched(fetches kgo.Fetches) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		if l.ends == nil {
			l.ends = map[topicPartition]progress{}
		}
		l.ends[topicPartition{p.Topic, p.Partition}] = progress{end: p.HighWatermark, next: p.Records[0].Offset}
	})
}

// handedOn says that everything of a poll is where it belongs.
func (l *lags) handedOn(fetches kgo.Fetches) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		at := topicPartition{p.Topic, p.Partition}
		if known, ok := l.ends[at]; ok && len(p.Records) > 0 {
			known.next = p.Records[len(p.Records)-1].Offset + 1
			l.ends[at] = known
		}
	})
}

// snapshot tells of the partitions that are assigned to this node, ordered by
// topic and partition, and forgets the others. One that nothing was read from
// yet has no lag that is known.
func (l *lags) snapshot(assigned map[topicPartition]bool) []PartitionLag {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := range l.ends {
		if !assigned[at] {
			delete(l.ends, at)
		}
	}
	var all []PartitionLag
	for at := range assigned {
		p := l.ends[at]
		all = append(all, PartitionLag{at.topic, at.partition, max(p.end-p.next, 0)})
	}
	slices.SortFunc(all, func(a, b PartitionLag) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return all
}
