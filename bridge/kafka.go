package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/limpet-gateway/limpet/internal/tracing"
)

// Settings of every client, with what taught them.
const (
	// After two NOT_LEADER answers a client waits for the metadata to be this
	// old before it asks again; the library's 5 s cost 10 s at a leader's move.
	metadataMinAge = 250 * time.Millisecond
	// A broker that accepts a request and never answers is noticed after the
	// sum of these two.
	defaultProduceTimeout  = 2 * time.Second
	requestTimeoutOverhead = time.Second
	// Long enough to fill batches at 100,000 messages/s, short beside the
	// network.
	defaultLinger = 5 * time.Millisecond
	// startTimeout bounds the first contact with Kafka: topics and their
	// settings.
	startTimeout = 15 * time.Second
)

// Kafka says how to reach the brokers.
type Kafka struct {
	Brokers  []string // host:port
	ClientID string   // shown in the brokers' logs; empty means limpet
	TLS      *tls.Config
	Options  []kgo.Opt // more, as SASL
	Logger   *slog.Logger
	Traffic  *Traffic        // what is counted of all clients; nil counts nothing
	Tracer   *tracing.Tracer // follows records to their acknowledgement; nil follows none
}

// Validate reports every fault of k at once.
func (k Kafka) Validate() error {
	if len(k.Brokers) == 0 {
		return errors.New("kafka brokers: want at least one host:port")
	}
	return nil
}

func (k Kafka) logger() *slog.Logger {
	if k.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return k.Logger
}

// newClient returns a client with the options that all of them share, then
// those of k, then more.
func (k Kafka) newClient(more ...kgo.Opt) (*kgo.Client, error) {
	if err := k.Validate(); err != nil {
		return nil, err
	}
	id := k.ClientID
	if id == "" {
		id = "limpet"
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(k.Brokers...),
		kgo.ClientID(id),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.RequestTimeoutOverhead(requestTimeoutOverhead),
		kgo.WithLogger(newKafkaLogger(k.logger())),
	}
	if k.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(k.TLS))
	}
	if k.Traffic != nil {
		opts = append(opts, kgo.WithHooks(trafficHooks{k.Traffic}))
	}
	if k.Tracer != nil {
		opts = append(opts, kgo.WithHooks(newPublishSpans(k.Tracer, id)))
	}
	opts = append(append(opts, k.Options...), more...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return client, nil
}

// kafkaLogger passes on the library's warnings and errors, each kind once a
// minute and otherwise at debug: while a broker is away a client says the same
// ten times a second. Its informational lines are about single requests and
// connections: debug, to us.
type kafkaLogger struct {
	log  *slog.Logger
	said *sync.Map // message to the time.Time at which it was logged
}

func newKafkaLogger(log *slog.Logger) kafkaLogger { return kafkaLogger{log, &sync.Map{}} }

func (l kafkaLogger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

func (l kafkaLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	at := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		at = slog.LevelError
	case kgo.LogLevelWarn:
		at = slog.LevelWarn
	}
	if at > slog.LevelDebug { // the library has a fixed number of messages
		now := time.Now()
		if last, again := l.said.Load(msg); again && now.Sub(last.(time.Time)) < faultSilence {
			at = slog.LevelDebug
		} else {
			l.said.Store(msg, now)
		}
	}
	l.log.Log(context.Background(), at, "kafka: "+msg, keyvals...)
}
