package client

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Message is a record of the uplink.
type Message struct {
	Time      time.Time
	Principal string
	Session   string
	Node      string
	Opcode    string // text or binary
	Priority  string
	Payload   []byte
	Partition int32
	Offset    int64
}

// TailOptions says what of the uplink to read.
type TailOptions struct {
	Brokers       []string
	Topics        bridge.Topics
	FromBeginning bool   // instead of what is written from now on
	Principal     string // only of this one; empty means all
	Limit         int    // end after so many; zero means never

	// Ready is called when every record written from now on will be seen. May
	// be nil.
	Ready func()

	// Away is called with the error when a broker takes no connection any
	// more, once until one does again: Tail waits for it. May be nil.
	Away func(error)
}

// presence tells away once for each time that connections fail.
type presence struct {
	away func(error)
	gone atomic.Bool
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (p *presence) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if was := p.gone.Swap(err != nil); err != nil && !was {
		p.away(err)
	}
}

// Tail calls emit with each message of the uplink, in the order of each
// partition, until ctx ends (it returns nil then), the limit is reached or emit
// fails. The message is emit's for the time of the call.
func Tail(ctx context.Context, o TailOptions, emit func(*Message) error) error {
	hook := &presence{away: func(err error) {
		if o.Away != nil && ctx.Err() == nil {
			o.Away(err)
		}
	}}
	hook.gone.Store(true) // until it has been reached, that it is not is Tail's error
	client, err := newClient(o.Brokers, kgo.WithHooks(hook))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := reachable(ctx, client, o.Brokers, o.Topics.Uplink); err != nil {
		return err
	}
	offsets, err := startOffsets(ctx, kadm.NewClient(client), o)
	if err != nil {
		return err
	}
	client.AddConsumePartitions(offsets)
	if o.Ready != nil {
		o.Ready()
	}
	for seen := 0; ; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", o.Topics.Uplink, err)
		}
		for _, r := range fetches.Records() {
			m := messageOf(r)
			if o.Principal != "" && m.Principal != o.Principal {
				continue
			}
			if err := emit(&m); err != nil {
				return err
			}
			if seen++; seen == o.Limit {
				return nil
			}
		}
	}
}

// startOffsets fixes where reading begins before it begins, so that nothing
// which is written after Ready is missed.
func startOffsets(ctx context.Context, admin *kadm.Client, o TailOptions) (map[string]map[int32]kgo.Offset, error) {
	list := admin.ListEndOffsets
	if o.FromBeginning {
		list = admin.ListStartOffsets
	}
	listed, err := list(ctx, o.Topics.Uplink)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("offsets of %s: %w", o.Topics.Uplink, err)
	}
	offsets := map[string]map[int32]kgo.Offset{o.Topics.Uplink: {}}
	listed.Each(func(l kadm.ListedOffset) {
		offsets[l.Topic][l.Partition] = kgo.NewOffset().At(l.Offset)
	})
	return offsets, nil
}

func messageOf(r *kgo.Record) Message {
	m := Message{
		Time: r.Timestamp, Principal: string(r.Key), Opcode: "text",
		Payload: r.Value, Partition: r.Partition, Offset: r.Offset,
	}
	for _, h := range r.Headers {
		switch h.Key {
		case bridge.HeaderSession:
			m.Session = string(h.Value)
		case bridge.HeaderPrincipal:
			m.Principal = string(h.Value)
		case bridge.HeaderNode:
			m.Node = string(h.Value)
		case bridge.HeaderOpcode:
			m.Opcode = string(h.Value)
		case bridge.HeaderPriority:
			m.Priority = string(h.Value)
		}
	}
	return m
}
