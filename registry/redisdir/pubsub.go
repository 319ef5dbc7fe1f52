package redisdir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// PubSub sends messages through Redis to whoever is subscribed at that moment,
// and to nobody later. It has connections of its own: one to send and one to
// listen, so that a listener that is behind holds up nothing else.
//
// In a Redis Cluster it uses sharded channels (SPUBLISH, SSUBSCRIBE; Redis 7):
// a message goes to the one shard that its channel belongs to, where ordinary
// ones go to every server of the cluster, and the number of receivers is that
// of all, where PUBLISH counts those of one server.
type PubSub struct {
	// Fixed at construction.
	out, in link
	channel string // what the names of channels begin with
	log     *slog.Logger
	changed func(error)

	receiving sync.Mutex // held while receive is called

	mu        sync.Mutex
	confirmed map[string]bool // channels that are subscribed to, guarded by mu
	down      bool            // that they are not has been reported; guarded by mu
}

// PubSubConfig describes a PubSub.
type PubSubConfig struct {
	URL         string        // as Config.URL
	CallTimeout time.Duration // of Publish, and for a connection; 500 ms

	// Changed is told that messages no longer arrive, and nil when they do
	// again. It must not block. May be nil.
	Changed func(error)
	Log     *slog.Logger // slog.Default()
}

// Between two tries to subscribe.
const (
	subscribeSoonest = 50 * time.Millisecond
	subscribeLatest  = time.Second
)

// NewPubSub prepares what c describes. Subscribe connects.
func NewPubSub(c PubSubConfig) (*PubSub, error) {
	if c.CallTimeout == 0 {
		c.CallTimeout = 500 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Changed == nil {
		c.Changed = func(error) {}
	}
	o, err := clientOption(c.URL, c.CallTimeout)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	p := &PubSub{
		out: link{url: c.URL, timeout: c.CallTimeout}, in: link{url: c.URL, timeout: c.CallTimeout},
		log: c.Log, changed: c.Changed, confirmed: map[string]bool{},
	}
	if o.SelectDB != 0 { // databases share their channels
		p.channel = strconv.Itoa(o.SelectDB) + ":"
	}
	return p, nil
}

// Publish sends a message and returns how many subscribers were given it. It
// fails within the call timeout, and at once before Subscribe has connected.
// Any goroutine.
func (p *PubSub) Publish(ctx context.Context, channel string, message []byte) (int, error) {
	channel = p.channel + channel
	sharded := p.out.clustered()
	n, err := p.out.one(ctx, func(b rueidis.Builder) rueidis.Completed {
		if sharded {
			return b.Spublish().Channel(channel).Message(rueidis.BinaryString(message)).Build()
		}
		return b.Publish().Channel(channel).Message(rueidis.BinaryString(message)).Build()
	}).AsInt64()
	return int(n), err
}

// Subscribe calls receive with each message on the channels, one at a time,
// until ctx ends, and returns its error. It connects, and subscribes again after
// whatever failure. ready is called once, when it is subscribed to all. It is
// called once, and closes the connections at its end.
func (p *PubSub) Subscribe(ctx context.Context, channels []string, ready func(), receive func(message []byte)) error {
	defer p.in.close()
	defer p.out.close()
	names := make([]string, len(channels))
	for i, c := range channels {
		names[i] = p.channel + c
	}
	if err := p.connect(ctx); err != nil {
		return err
	}
	ready = sync.OnceFunc(ready)
	one := func(m rueidis.PubSubMessage) {
		p.receiving.Lock()
		defer p.receiving.Unlock()
		receive([]byte(m.Message))
	}
	confirm := func(s rueidis.PubSubSubscription) {
		if s.Kind == "subscribe" || s.Kind == "ssubscribe" {
			p.subscribed(s.Channel, len(names), ready)
		}
	}
	sets := [][]string{names}
	if p.in.clustered() { // each channel may be another server's
		sets = nil
		for _, name := range names {
			sets = append(sets, []string{name})
		}
	}
	var listening sync.WaitGroup
	for _, set := range sets {
		listening.Go(func() { p.listen(ctx, set, confirm, one) })
	}
	listening.Wait()
	return ctx.Err()
}

// connect makes first contact, however long that takes.
func (p *PubSub) connect(ctx context.Context) error {
	wait := subscribeSoonest
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := errors.Join(p.in.connect(), p.out.connect())
		if err == nil {
			return nil
		}
		p.lost(nil, err)
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, subscribeLatest)
	}
}

// listen keeps up one subscription.
func (p *PubSub) listen(ctx context.Context, channels []string, confirm func(rueidis.PubSubSubscription), receive func(rueidis.PubSubMessage)) {
	client := *p.in.client.Load()
	wait := subscribeSoonest
	for ctx.Err() == nil {
		command := client.B().Subscribe().Channel(channels...).Build()
		if p.in.clustered() {
			command = client.B().Ssubscribe().Channel(channels...).Build()
		}
		begun := time.Now()
		err := client.Receive(rueidis.WithOnSubscriptionHook(ctx, confirm), command, receive)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("the server has ended the subscription") // its slot moves
		}
		p.lost(channels, err)
		if time.Since(begun) > subscribeLatest {
			wait = subscribeSoonest
		}
		if pause(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, subscribeLatest)
	}
}

// subscribed notes that messages on a channel arrive from now on.
func (p *PubSub) subscribed(channel string, of int, ready func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.confirmed[channel] = true
	if len(p.confirmed) < of {
		return
	}
	if p.down {
		p.down = false
		p.log.Info("subscribed to what other nodes send")
	}
	p.changed(nil)
	ready()
}

// lost notes that they do not.
func (p *PubSub) lost(channels []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, channel := range channels {
		delete(p.confirmed, channel)
	}
	if !p.down {
		p.down = true
		p.log.Warn("what other nodes send does not arrive: Redis is away", "err", err)
	}
	p.changed(err)
}
