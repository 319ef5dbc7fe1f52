package bridge

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Defaults and bounds of UplinkConfig.
const (
	DefaultQueueLength     = 16384
	DefaultBufferedBytes   = 64 << 20
	DefaultMaxMessageBytes = 64 << 10
	maxWorkers             = 256
	maxQueueLength         = 1 << 20
	minBufferedBytes       = 1 << 20
)

// UplinkConfig describes an uplink. Zero values mean the defaults.
type UplinkConfig struct {
	Kafka  Kafka
	Topics Topics
	Node   string // the node's id, sent with every record

	// Workers is the size of the pool; zero means one for each core.
	Workers int
	// QueueLength is the number of messages that may wait for one worker.
	QueueLength int
	// BufferedBytes bounds the memory of everything that was accepted and is
	// not acknowledged yet, with its overhead.
	BufferedBytes int64
	// MaxMessageBytes is the largest payload. Larger ones are refused here
	// rather than by the broker, where they would take others with them.
	MaxMessageBytes int

	// Partitions is the number of partitions of topics that this creates;
	// InboxPartitions bounds the number of nodes.
	Partitions      int32
	InboxPartitions int32
	// KeepTopics leaves missing topics missing: Start fails then.
	KeepTopics bool

	ProduceTimeout time.Duration // that a broker has to answer
	Linger         time.Duration // that a batch waits for more; negative means none
	Compression    kgo.CompressionCodec

	// OnRejected is called for a message that was accepted and that Kafka
	// rejects for good. It runs on a worker and must not block. May be nil.
	OnRejected func(id session.ID, priority session.Priority, err error)
}

// Defaults of the topics that an uplink creates.
const (
	DefaultPartitions      = 12
	DefaultInboxPartitions = 64
)

func (c UplinkConfig) withDefaults() UplinkConfig {
	if c.Topics == (Topics{}) {
		c.Topics = NewTopics(DefaultTopicPrefix)
	}
	if c.Workers == 0 {
		c.Workers = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	if c.QueueLength == 0 {
		c.QueueLength = DefaultQueueLength
	}
	if c.BufferedBytes == 0 {
		c.BufferedBytes = DefaultBufferedBytes
	}
	if c.MaxMessageBytes == 0 {
		c.MaxMessageBytes = DefaultMaxMessageBytes
	}
	if c.Partitions == 0 {
		c.Partitions = DefaultPartitions
	}
	if c.InboxPartitions == 0 {
		c.InboxPartitions = DefaultInboxPartitions
	}
	if c.ProduceTimeout == 0 {
		c.ProduceTimeout = defaultProduceTimeout
	}
	if c.Linger == 0 {
		c.Linger = defaultLinger
	}
	if c.OnRejected == nil {
		c.OnRejected = func(session.ID, session.Priority, error) {}
	}
	return c
}

// LeastBufferedBytes is the smallest BufferedBytes with which a message of the
// largest size fits into the smallest share.
func (c UplinkConfig) LeastBufferedBytes() int64 {
	return max(minBufferedBytes, 8*cost(c.withDefaults().MaxMessageBytes))
}

// Validate reports every fault of c at once.
func (c UplinkConfig) Validate() error {
	c = c.withDefaults()
	faults := []error{c.Kafka.Validate()}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Workers < 1 || c.Workers > maxWorkers {
		fault("workers %d: want 1 to %d", c.Workers, maxWorkers)
	}
	if c.QueueLength < 16 || c.QueueLength > maxQueueLength {
		fault("queue length %d: want 16 to %d messages", c.QueueLength, maxQueueLength)
	}
	if c.MaxMessageBytes < 1 {
		fault("maximum message size %d: want at least 1 byte", c.MaxMessageBytes)
	}
	if least := c.LeastBufferedBytes(); c.BufferedBytes < least {
		fault("buffered bytes %d: want at least %d with messages of up to %d bytes", c.BufferedBytes, least, c.MaxMessageBytes)
	}
	if c.Partitions < 1 || c.InboxPartitions < 1 {
		fault("partitions %d and %d: want at least 1", c.Partitions, c.InboxPartitions)
	}
	if c.ProduceTimeout < 100*time.Millisecond {
		fault("produce timeout %v: want at least 100ms", c.ProduceTimeout)
	}
	return errors.Join(faults...)
}
