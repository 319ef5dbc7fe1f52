package client

import (
	"context"
	"fmt"
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
}

// Tail calls emit with each message of the uplink, in the order of each
// partition, until ctx ends (it returns nil then), the limit is reached or emit
// fails. The message is emit's for the time of the call.
func Tail(ctx context.Context, o TailOptions, emit func(*Message) error) error {
	client, err := newClient(o.Brokers)
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
