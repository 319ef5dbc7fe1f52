package bench

import (
	"context"

	"github.com/limpet-gateway/limpet/bench/target"
)

// Broadcaster has a server send a payload to all of its connections. Publish
// may return before the server has sent it; it borrows payload.
type Broadcaster interface {
	Publish(ctx context.Context, payload []byte) error
	// Await waits while the publisher itself lacks most broadcasts or more that
	// it should receive.
	Await(ctx context.Context, most int) error
	Close() error
}

// Reader reads what a server has put into Kafka.
type Reader interface {
	// Read calls each for the payload of every message that arrives from the
	// time of the call on, until ctx ends; ready is called once it misses
	// nothing. Payloads are borrowed.
	Read(ctx context.Context, ready func(), each func(payload []byte)) error
}

// Joints are what a benchmark needs of other packages; cmd hands them in. A
// nil function means that limpet servers cannot be asked for it.
type Joints struct {
	Broadcaster func(ctx context.Context, s *target.Server) (Broadcaster, error)
	Uplink      func(ctx context.Context, s *target.Server) (Reader, error)
}
