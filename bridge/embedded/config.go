package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/limpet-gateway/limpet/internal/listen"
)

// Defaults of Config.
const (
	DefaultMaxBytesMemory    = 128 << 20
	DefaultMaxBytesDisk      = 1 << 30
	DefaultRetention         = 24 * time.Hour
	DefaultRetentionInterval = time.Second

	// MinMaxBytes gives the smallest share, of one partition, still a few
	// segments of minSegmentBytes.
	MinMaxBytes     = 8 << 20
	minSegmentBytes = 64 << 10

	// MaxConns connections are served at a time; more wait to be accepted. A
	// gateway has about ten to its own broker.
	MaxConns = 256
)

// Topic is a topic that the broker creates at start.
type Topic struct {
	Name       string
	Partitions int32 // of a new topic; an existing one keeps its own
	Weight     int   // share of MaxBytes, relative to the other topics'; zero means 1
}

// Config describes a broker. Its zero value, with topics, is one in memory on
// a free port of loopback.
type Config struct {
	Addr    string // host:port on loopback; empty means a free port
	DataDir string // empty keeps everything in memory
	Topics  []Topic

	// MaxBytes bounds the records of all topics together; zero means 128 MiB
	// in memory and 1 GiB on disk. A start on a directory that was not closed
	// needs as much memory, and half as much again, for a moment.
	MaxBytes int64
	// Retention bounds the age of records; zero means 24 hours.
	Retention time.Duration
	// RetentionInterval is the time between two passes of retention; zero
	// means one second.
	RetentionInterval time.Duration

	// Descriptors bounds the numbers that connections may have; one above is
	// closed at once. 0 is no bound.
	Descriptors int

	Logger *slog.Logger // nil discards
}

// listen is net.Listen within the limits of c.
func (c Config) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return guarded{listen.Bound(l, listen.Limits{Conns: MaxConns, Descriptors: c.Descriptors})}, nil
}

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytesMemory
		if c.DataDir != "" {
			c.MaxBytes = DefaultMaxBytesDisk
		}
	}
	if c.Retention == 0 {
		c.Retention = DefaultRetention
	}
	if c.RetentionInterval == 0 {
		c.RetentionInterval = DefaultRetentionInterval
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every fault of c at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	if host, _, err := net.SplitHostPort(c.Addr); err != nil {
		faults = append(faults, fmt.Errorf("address %q: want host:port", c.Addr))
	} else if ip := net.ParseIP(host); ip == nil || !ip.Equal(net.IPv4(127, 0, 0, 1)) {
		// Nothing authenticates its clients.
		faults = append(faults, fmt.Errorf("address %q: the embedded broker listens on 127.0.0.1 only", c.Addr))
	}
	if c.MaxBytes < MinMaxBytes {
		faults = append(faults, fmt.Errorf("maximum size %d: want at least %d bytes", c.MaxBytes, int64(MinMaxBytes)))
	}
	if c.Retention < time.Second {
		faults = append(faults, fmt.Errorf("retention %v: want at least 1s", c.Retention))
	}
	if c.RetentionInterval < 0 {
		faults = append(faults, fmt.Errorf("retention interval %v: want a positive duration", c.RetentionInterval))
	}
	for _, t := range c.Topics {
		if t.Name == "" || t.Partitions < 1 || t.Weight < 0 {
			faults = append(faults, fmt.Errorf("topic %q with %d partitions and weight %d: want a name, at least one partition and no negative weight", t.Name, t.Partitions, t.Weight))
		}
	}
	return errors.Join(faults...)
}

// limits returns the retention of each topic: bytes of one partition, and of
// one of its segments. A segment leaves as a whole, so a partition holds up
// to bytes+segment.
func (c Config) limits(t Topic, partitions int32) (bytes, segment int64) {
	total := int64(0)
	for _, o := range c.Topics {
		total += int64(max(o.Weight, 1))
	}
	share := c.MaxBytes * int64(max(t.Weight, 1)) / total / int64(partitions)
	segment = max(share/5, minSegmentBytes)
	return max(share-segment, segment), segment
}

// otherLimits returns those of topics that clients create without a retention
// of their own: as of the smallest partition of Topics.
func (c Config) otherLimits() (bytes, segment int64) {
	bytes, segment = c.MaxBytes, max(c.MaxBytes/5, minSegmentBytes)
	for _, t := range c.Topics {
		if b, s := c.limits(t, t.Partitions); b < bytes {
			bytes, segment = b, s
		}
	}
	return bytes, segment
}
