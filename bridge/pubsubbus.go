package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// PubSub is a transport that gives a message to whoever is subscribed at that
// moment, as Redis Pub/Sub does: at most once, and not at all to a node that
// has just lost its connection.
type PubSub interface {
	// Publish returns the number of subscribers that were given the message. It
	// fails rather than wait for a server that does not answer.
	Publish(ctx context.Context, channel string, message []byte) (int, error)
	// Subscribe calls receive with what comes on the channels, one at a time,
	// until ctx ends; it subscribes again after a failure. receive may keep the
	// message and does not block. ready is called when it is subscribed to all
	// for the first time.
	Subscribe(ctx context.Context, channels []string, ready func(), receive func(message []byte)) error
}

// Limits of a PubSubBus.
const (
	pubSubSenders = 4
	pubSubQueue   = 4096     // messages that wait for one sender; more are refused
	pubSubBytes   = 16 << 20 // of all messages that wait to be sent; more are refused
	pubSubTimeout = time.Second
	// pubSubPause is for how long nothing is tried after a failure: what is put
	// meanwhile fails at once, so that nobody waits for a server that is away.
	pubSubPause = 250 * time.Millisecond

	arrivalsQueue = 8192     // pushes that have come and wait for the router; more are dropped
	arrivalsBytes = 16 << 20 // of these
	arrivalsBatch = 256      // given to the router at once
)

// PubSubBus is a bus for nodes that share no Kafka. It delivers at most once,
// and loses what is under way when its transport fails. What waits is bounded
// in number, bytes and time.
type PubSubBus struct {
	transport PubSub
	prefix    string
	mine      uint64
	log       *slog.Logger
	queues    [pubSubSenders]chan pubSubMail
	waiting   atomic.Int64 // bytes in the queues
	resumeAt  atomic.Int64 // Unix nanoseconds before which nothing is sent, after a failure

	arrivals chan *Push
	arriving atomic.Int64 // bytes in arrivals

	malformed, refused, failed, dropped atomic.Uint64

	// mu is held for reading while something is put, so that nothing is put
	// after Run has closed the bus and emptied the queues.
	mu     sync.RWMutex
	closed bool
}

type pubSubMail struct {
	channel  string
	message  []byte
	spread   bool
	deadline time.Time // nobody waits for it any longer
	done     func(error)
}

// NewPubSubBus returns a bus whose channels begin with prefix. Run must follow.
func NewPubSubBus(transport PubSub, prefix string, incarnation uint64, log *slog.Logger) *PubSubBus {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	b := &PubSubBus{transport: transport, prefix: prefix, mine: incarnation, log: log, arrivals: make(chan *Push, arrivalsQueue)}
	for i := range b.queues {
		b.queues[i] = make(chan pubSubMail, pubSubQueue)
	}
	return b
}

func (b *PubSubBus) nodeChannel(incarnation uint64) string {
	return fmt.Sprintf("%snode.%016x", b.prefix, incarnation)
}

func (b *PubSubBus) allChannel() string { return b.prefix + "broadcast" }

// Forward implements Bus; it never waits. A node to which nobody is subscribed
// is gone.
func (b *PubSubBus) Forward(_ context.Context, to uint64, p *Push, done func(error)) {
	b.put(p, b.nodeChannel(to), false, done)
}

// Broadcast implements Bus; it never waits.
func (b *PubSubBus) Broadcast(_ context.Context, p *Push, done func(error)) {
	b.put(p, b.allChannel(), true, done)
}

// Why a push is not sent.
var (
	errPubSubBusy = errors.New("the bus has no room")
	errPubSubAway = errors.New("the bus has failed a moment ago")
	errPubSubLate = errors.New("the bus was not in time")
)

// put queues p; pushes for one target keep their order.
func (b *PubSubBus) put(p *Push, channel string, spread bool, done func(error)) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	now := time.Now()
	switch {
	case b.closed:
		done(ErrBusClosed)
		return
	case now.UnixNano() < b.resumeAt.Load():
		b.failed.Add(1)
		done(errPubSubAway)
		return
	}
	m := pubSubMail{channel, appendPush(nil, p), spread, now.Add(pubSubTimeout), done}
	if b.waiting.Add(int64(len(m.message))) <= pubSubBytes {
		select {
		case b.queues[fnv32(p.To.String())%pubSubSenders] <- m:
			return
		default:
		}
	}
	b.waiting.Add(-int64(len(m.message)))
	b.refused.Add(1)
	done(errPubSubBusy)
}

// Run sends, and gives what arrives to router, until ctx ends; then it returns
// nil. ready is called when the node can be reached. It is called once.
func (b *PubSubBus) Run(ctx context.Context, router *Router, ready func()) error {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var tasks sync.WaitGroup
	for _, queue := range b.queues {
		tasks.Go(func() { b.send(sending, queue) })
	}
	tasks.Go(func() { b.deliver(sending, router) })
	err := b.transport.Subscribe(ctx, []string{b.nodeChannel(b.mine), b.allChannel()}, ready, b.receive)
	stop()
	tasks.Wait()
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

// receive takes in what the transport brings. It does not wait for the router,
// which may be waiting for a loop: the transport's connection would look dead.
func (b *PubSubBus) receive(message []byte) {
	p, err := parseMessage(message)
	if err != nil {
		b.malformed.Add(1)
		return
	}
	if b.arriving.Add(int64(len(p.Payload))) <= arrivalsBytes {
		select {
		case b.arrivals <- p:
			return
		default:
		}
	}
	b.arriving.Add(-int64(len(p.Payload)))
	b.dropped.Add(1)
}

// deliver gives the router what has arrived.
func (b *PubSubBus) deliver(ctx context.Context, router *Router) {
	batch := make([]*Push, 0, arrivalsBatch)
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-b.arrivals:
			batch = append(batch[:0], p)
		}
		for more := true; more && len(batch) < arrivalsBatch; {
			select {
			case p := <-b.arrivals:
				batch = append(batch, p)
			default:
				more = false
			}
		}
		if err := router.Arrived(ctx, batch); err != nil && ctx.Err() == nil {
			b.log.Warn("bus: pushes were lost", "error", err)
		}
		for _, p := range batch {
			b.arriving.Add(-int64(len(p.Payload)))
		}
		clear(batch)
	}
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
			b.waiting.Add(-int64(len(m.message)))
			err := b.publish(ctx, m)
			if err != nil && !errors.Is(err, ErrNodeGone) {
				b.failed.Add(1)
			}
			m.done(err)
		}
	}
}

func (b *PubSubBus) publish(ctx context.Context, m pubSubMail) error {
	now := time.Now()
	switch {
	case now.UnixNano() < b.resumeAt.Load():
		return errPubSubAway
	case now.After(m.deadline):
		return errPubSubLate
	}
	ctx, cancel := context.WithDeadline(ctx, m.deadline)
	defer cancel()
	n, err := b.transport.Publish(ctx, m.channel, m.message)
	switch {
	case err != nil:
		b.resumeAt.Store(time.Now().Add(pubSubPause).UnixNano())
		return fmt.Errorf("publish: %w", err)
	case n == 0 && !m.spread:
		return ErrNodeGone
	}
	return nil
}

// Stats may be called from any goroutine.
func (b *PubSubBus) Stats() BusStats {
	return BusStats{
		Malformed: b.malformed.Load(), Refused: b.refused.Load() + b.dropped.Load(), Failed: b.failed.Load(),
	}
}
