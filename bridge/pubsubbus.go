package bridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// PubSub is a transport that gives a message to whoever is subscribed at that
// moment, as Redis Pub/Sub does: at most once, and not at all to a node that
// has just lost its connection.
type PubSub interface {
	// Publish returns the number of subscribers that were given the message.
	Publish(ctx context.Context, channel string, message []byte) (int, error)
	// Subscribe calls receive with what comes on the channels, from one
	// goroutine, until ctx ends; it subscribes again after a failure. ready is
	// called when it is subscribed for the first time.
	Subscribe(ctx context.Context, channels []string, ready func(), receive func(message []byte)) error
}

// Limits of a PubSubBus.
const (
	pubSubSenders = 4
	pubSubQueue   = 4096 // messages that wait for one sender; more are failed
	pubSubTimeout = time.Second
)

// PubSubBus is a bus for nodes that share no Kafka. It delivers at most once,
// and loses what is under way when its transport fails.
type PubSubBus struct {
	transport PubSub
	prefix    string
	mine      uint64
	log       *slog.Logger
	queues    [pubSubSenders]chan pubSubMail
	malformed atomic.Uint64

	// mu is held for reading while something is put, so that nothing is put
	// after Run has closed the bus and emptied the queues.
	mu     sync.RWMutex
	closed bool
}

type pubSubMail struct {
	channel string
	message []byte
	spread  bool
	done    func(error)
}

// NewPubSubBus returns a bus whose channels begin with prefix. Run must follow.
func NewPubSubBus(transport PubSub, prefix string, incarnation uint64, log *slog.Logger) *PubSubBus {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	b := &PubSubBus{transport: transport, prefix: prefix, mine: incarnation, log: log}
	for i := range b.queues {
		b.queues[i] = make(chan pubSubMail, pubSubQueue)
	}
	return b
}

func (b *PubSubBus) nodeChannel(incarnation uint64) string {
	return fmt.Sprintf("%snode.%016x", b.prefix, incarnation)
}

func (b *PubSubBus) allChannel() string { return b.prefix + "broadcast" }

// Forward implements Bus. A node to which nobody is subscribed is gone.
func (b *PubSubBus) Forward(to uint64, p *Push, done func(error)) {
	b.put(p, pubSubMail{b.nodeChannel(to), appendPush(nil, p), false, done})
}

// Broadcast implements Bus.
func (b *PubSubBus) Broadcast(p *Push, done func(error)) {
	b.put(p, pubSubMail{b.allChannel(), appendPush(nil, p), true, done})
}

// errPubSubBusy fails a push for which there is no room in the bus.
var errPubSubBusy = errors.New("the bus has no room")

// put queues m; pushes for one target keep their order.
func (b *PubSubBus) put(p *Push, m pubSubMail) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		m.done(ErrBusClosed)
		return
	}
	select {
	case b.queues[fnv32(p.To.String())%pubSubSenders] <- m:
	default:
		m.done(errPubSubBusy)
	}
}

// Run sends, and gives what arrives to router, until ctx ends; then it returns
// nil. ready is called when the node can be reached. It is called once.
func (b *PubSubBus) Run(ctx context.Context, router *Router, ready func()) error {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var senders sync.WaitGroup
	for _, queue := range b.queues {
		senders.Go(func() { b.send(sending, queue) })
	}
	err := b.transport.Subscribe(ctx, []string{b.nodeChannel(b.mine), b.allChannel()}, ready, func(message []byte) {
		p, err := parseMessage(message)
		if err != nil {
			b.malformed.Add(1)
			return
		}
		if err := router.Arrived(ctx, []*Push{p}); err != nil && ctx.Err() == nil {
			b.log.Warn("bus: a push was lost", "to", p.To.String(), "error", err)
		}
	})
	stop()
	senders.Wait()
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	for _, queue := range b.queues {
		drainMail(queue)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// drainMail fails what was put while the bus closed.
func drainMail(queue chan pubSubMail) {
	for {
		select {
		case m := <-queue:
			m.done(ErrBusClosed)
		default:
			return
		}
	}
}

func (b *PubSubBus) send(ctx context.Context, queue chan pubSubMail) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-queue:
			m.done(b.publish(ctx, m))
		}
	}
}

func (b *PubSubBus) publish(ctx context.Context, m pubSubMail) error {
	ctx, cancel := context.WithTimeout(ctx, pubSubTimeout)
	defer cancel()
	n, err := b.transport.Publish(ctx, m.channel, m.message)
	switch {
	case err != nil:
		return fmt.Errorf("publish: %w", err)
	case n == 0 && !m.spread:
		return ErrNodeGone
	}
	return nil
}

// A push as one message: a version, then the record's time in milliseconds, the
// number of headers, their names and values, and the rest is the payload.
// Numbers are uvarints, texts follow their length.
const messageVersion = 1

func appendPush(dst []byte, p *Push) []byte {
	r := p.busRecord("", time.Now())
	dst = append(dst, messageVersion)
	dst = binary.AppendUvarint(dst, uint64(r.Timestamp.UnixMilli()))
	dst = binary.AppendUvarint(dst, uint64(len(r.Headers)))
	for _, h := range r.Headers {
		dst = append(binary.AppendUvarint(dst, uint64(len(h.Key))), h.Key...)
		dst = append(binary.AppendUvarint(dst, uint64(len(h.Value))), h.Value...)
	}
	return append(dst, r.Value...)
}

var errBadMessage = errors.New("not a message of the bus")

func parseMessage(data []byte) (*Push, error) {
	if len(data) == 0 || data[0] != messageVersion {
		return nil, errBadMessage
	}
	rest := data[1:]
	number := func() (uint64, bool) {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			return 0, false
		}
		rest = rest[size:]
		return n, true
	}
	text := func() ([]byte, bool) {
		n, ok := number()
		if !ok || n > uint64(len(rest)) {
			return nil, false
		}
		t := rest[:n]
		rest = rest[n:]
		return t, true
	}
	at, ok1 := number()
	headers, ok2 := number()
	if !ok1 || !ok2 || headers > maxBusHeaders {
		return nil, errBadMessage
	}
	r := kgo.Record{Timestamp: time.UnixMilli(int64(at))}
	for range headers {
		key, ok1 := text()
		value, ok2 := text()
		if !ok1 || !ok2 {
			return nil, errBadMessage
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(key), Value: value})
	}
	r.Value = rest
	return parseBusRecord(&r)
}

const maxBusHeaders = 32
