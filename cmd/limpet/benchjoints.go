package main

import (
	"context"
	"slices"

	"github.com/limpet-gateway/limpet/bench"
	"github.com/limpet-gateway/limpet/bench/target"
	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/client"
	"github.com/limpet-gateway/limpet/internal/session"
)

// benchJoints lets a benchmark publish to limpet's sessions and read what
// they sent, both through Kafka as a business service would.
func benchJoints() bench.Joints {
	return bench.Joints{
		Broadcaster: func(ctx context.Context, s *target.Server) (bench.Broadcaster, error) {
			info, err := client.Discover(ctx, s.API, "")
			if err != nil {
				return nil, err
			}
			p, err := client.NewPublisher(ctx, info.Kafka, info.Topics())
			if err != nil {
				return nil, err
			}
			return broadcaster{p}, nil
		},
		Uplink: func(ctx context.Context, s *target.Server) (bench.Reader, error) {
			info, err := client.Discover(ctx, s.API, "")
			if err != nil {
				return nil, err
			}
			return uplinkReader{info}, nil
		},
	}
}

type broadcaster struct{ p *client.Publisher }

func (b broadcaster) Publish(ctx context.Context, payload []byte) error {
	return b.p.Send(ctx, &bridge.Push{
		To: bridge.Target{Kind: bridge.ToAll}, Opcode: session.Binary, Payload: slices.Clone(payload),
	})
}

// Await does not wait: the publisher is no session.
func (b broadcaster) Await(context.Context, int) error { return nil }

func (b broadcaster) Close() error {
	b.p.Close()
	return nil
}

type uplinkReader struct{ info client.Info }

func (r uplinkReader) Read(ctx context.Context, ready func(), each func(payload []byte)) error {
	o := client.TailOptions{Brokers: r.info.Kafka, Topics: r.info.Topics(), Ready: ready}
	return client.Tail(ctx, o, func(m *client.Message) error {
		each(m.Payload)
		return nil
	})
}
