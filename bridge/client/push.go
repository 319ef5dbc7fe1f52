package client

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produceTimeout bounds one push: a broker that is away is reported to the
// person who waits for it.
const produceTimeout = 10 * time.Second

// Position is where a push was written.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

// ErrNotText is returned for a push of text whose payload is not UTF-8.
var ErrNotText = errors.New("the data is not UTF-8 text")

// Push writes p to the downlink topic and returns when Kafka has acknowledged
// it. Whether a session receives it is for the gateway to see.
func Push(ctx context.Context, brokers []string, topics bridge.Topics, p *bridge.Push) (Position, error) {
	if p.Opcode == session.Text && !utf8.Valid(p.Payload) {
		return Position{}, ErrNotText
	}
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	client, err := newClient(brokers, kgo.ProducerLinger(0), kgo.RecordDeliveryTimeout(produceTimeout),
		kgo.ProducerBatchMaxBytes(maxBatchBytes), kgo.AllowIdempotentProduceCancellation())
	if err != nil {
		return Position{}, err
	}
	defer client.Close()
	if err := reachable(ctx, client, brokers, topics.Downlink); err != nil {
		return Position{}, err
	}
	r, err := client.ProduceSync(ctx, p.Record(topics.Downlink, time.Now())).First()
	if err != nil {
		return Position{}, fmt.Errorf("write to %s: %w", topics.Downlink, err)
	}
	return Position{r.Topic, r.Partition, r.Offset}, nil
}

// maxBatchBytes lets the broker say what is too large, rather than the client.
const maxBatchBytes = 16 << 20
