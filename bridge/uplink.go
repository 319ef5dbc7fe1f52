package bridge

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Message is what a session sent. Accept borrows its slices: they may be
// reused when it returns.
type Message struct {
	Session   session.ID
	Principal []byte
	Opcode    session.Opcode
	Priority  session.Priority
	Payload   []byte
	Trace     tracing.Trace // where the record belongs; zero where nobody follows
}

// Verdict is what became of a message.
type Verdict uint8

const (
	// Accepted: the message, or a later one of its session if it was of medium
	// priority and had to wait, will be in Kafka.
	Accepted Verdict = iota
	// Dropped: there was no room for a message of low or medium priority. It
	// is counted.
	Dropped
	// Refused: there was no room for a message of high priority. The caller
	// closes the session with session.UplinkRefused rather than lose it in
	// silence.
	Refused
)

// String returns the word for logs and metric labels.
func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case Dropped:
		return "dropped"
	case Refused:
		return "refused"
	default:
		return fmt.Sprintf("verdict(%d)", uint8(v))
	}
}

// Uplink takes messages from the event loops to Kafka.
type Uplink struct {
	// Fixed at construction.
	cfg        UplinkConfig
	seed       maphash.Seed
	workers    []*worker
	budget     *budget
	maxPayload int // what both the configuration and the topic allow
	batchBytes int32
	promise    func(*kgo.Record, error)
	text       recordText

	closing  atomic.Bool
	dropLow  atomic.Bool // Relief.DropLow
	coalesce atomic.Bool // Relief.Coalesce
	count    uplinkCounters
	stop     chan struct{}
	running  sync.WaitGroup

	// gate is held for reading by workers that produce, for writing by one that
	// replaces the client; renewals counts those.
	gate     sync.RWMutex
	client   atomic.Pointer[kgo.Client]
	renewals atomic.Uint32

	// settled is closed, and replaced, when nothing is outstanding; waiters
	// says that somebody wants to know.
	settledMu sync.Mutex
	settled   chan struct{}
	waiters   atomic.Int32
}

// NewUplink connects to Kafka, sees to it that the topics exist, and starts the
// workers. It fails when Kafka cannot be reached, after 15 s at most.
func NewUplink(ctx context.Context, cfg UplinkConfig) (*Uplink, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("uplink: %w", err)
	}
	u := &Uplink{
		cfg:     cfg,
		seed:    maphash.MakeSeed(),
		budget:  newBudget(cfg.BufferedBytes),
		text:    newRecordText(cfg.Node),
		stop:    make(chan struct{}),
		settled: make(chan struct{}),
	}
	u.promise = func(r *kgo.Record, err error) {
		it := itemOf(r)
		it.worker.answered(it, err)
	}
	if err := u.connect(ctx); err != nil {
		return nil, fmt.Errorf("uplink: Kafka at %s: %w", strings.Join(cfg.Kafka.Brokers, ","), err)
	}
	u.workers = make([]*worker, cfg.Workers)
	for i := range u.workers {
		u.workers[i] = newWorker(u)
	}
	for _, w := range u.workers {
		u.running.Add(1)
		go w.run()
	}
	return u, nil
}

// Accept takes m, or says why not. It never blocks and may be called from any
// goroutine; messages of one principal keep the order of the calls.
func (u *Uplink) Accept(m Message) Verdict {
	n := len(m.Principal) + len(m.Payload)
	if len(m.Payload) > u.maxPayload {
		u.count.tooLarge.Add(1)
		return verdictOf(m.Priority)
	}
	// Counted before the look at closing: Close sets closing before it looks
	// at the count, so one of the two sees the other.
	u.count.outstanding.Add(1)
	if u.closing.Load() {
		return u.turnAway(m.Priority)
	}
	if m.Priority == session.Low && u.dropLow.Load() {
		u.count.droppedLoad.Add(1)
		u.settle(1)
		return Dropped
	}
	w := u.workers[maphash.Bytes(u.seed, m.Principal)%uint64(len(u.workers))]
	reserved := (m.Priority != session.Medium || !u.coalesce.Load()) && u.budget.reserve(m.Priority, cost(n))
	if !reserved && m.Priority != session.Medium {
		return u.turnAway(m.Priority)
	}
	it := newItem(n)
	it.buf = append(append(it.buf, m.Principal...), m.Payload...)
	u.text.fill(it, &m, u.cfg.Topics.Uplink)
	if !w.offer(it, reserved) {
		it.free()
		return u.turnAway(m.Priority)
	}
	u.count.accepted.Add(1)
	return Accepted
}

// turnAway counts a message that was not accepted.
func (u *Uplink) turnAway(p session.Priority) Verdict {
	switch p {
	case session.Low:
		u.count.droppedLow.Add(1)
	case session.Medium:
		u.count.droppedMed.Add(1)
	default:
		u.count.refused.Add(1)
	}
	u.settle(1)
	return verdictOf(p)
}

func verdictOf(p session.Priority) Verdict {
	if p == session.High {
		return Refused
	}
	return Dropped
}

// settle takes n messages off the outstanding ones.
func (u *Uplink) settle(n int64) {
	if u.count.outstanding.Add(-n) == 0 && u.waiters.Load() > 0 {
		u.settledMu.Lock()
		close(u.settled)
		u.settled = make(chan struct{})
		u.settledMu.Unlock()
	}
}

// ErrNotFlushed is wrapped when messages that were accepted are not in Kafka
// yet when the time to wait for them is over.
var ErrNotFlushed = errors.New("accepted messages are not acknowledged")

// Flush waits until Kafka has acknowledged everything, or until ctx ends:
// then it fails with ErrNotFlushed. While messages keep coming it may never
// end by itself.
func (u *Uplink) Flush(ctx context.Context) error {
	u.waiters.Add(1)
	defer u.waiters.Add(-1)
	for {
		u.settledMu.Lock()
		settled := u.settled
		u.settledMu.Unlock()
		n := u.count.outstanding.Load()
		if n == 0 {
			return nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return fmt.Errorf("%w: %d of them: %w", ErrNotFlushed, n, ctx.Err())
		}
	}
}

// Close accepts nothing more, waits as Flush does and ends the workers and the
// client. What is not acknowledged when ctx ends is lost and counted.
func (u *Uplink) Close(ctx context.Context) error {
	if u.closing.Swap(true) {
		return nil
	}
	err := u.Flush(ctx)
	close(u.stop)
	u.running.Wait()
	u.client.Load().Close() // fails what it still has, through the call-backs
	if left := u.count.outstanding.Load(); left > 0 {
		u.count.lost.Add(uint64(left))
	}
	return err
}

// Ping asks Kafka whether it answers, within ctx.
func (u *Uplink) Ping(ctx context.Context) error { return u.client.Load().Ping(ctx) }

// connect makes the client and settles with Kafka what both allow.
func (u *Uplink) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cfg := &u.cfg
	u.batchBytes = int32(max(defaultBatchBytes, cfg.MaxMessageBytes+recordOverhead))
	client, err := u.newClient()
	if err != nil {
		return err
	}
	specs := cfg.Topics.Specs(cfg.Partitions, cfg.InboxPartitions)
	if err := settleTopics(ctx, client, specs, cfg.KeepTopics); err != nil {
		client.Close()
		return err
	}
	limit, err := maxMessageBytes(ctx, client, cfg.Topics.Uplink)
	if err != nil {
		client.Close()
		return err
	}
	u.client.Store(client)
	u.batchBytes = min(u.batchBytes, int32(limit))
	u.maxPayload = min(cfg.MaxMessageBytes, int(u.batchBytes)-recordOverhead)
	if u.maxPayload < cfg.MaxMessageBytes {
		cfg.Kafka.logger().Warn("the uplink topic takes smaller messages than sessions may send; larger ones are refused",
			"topic", cfg.Topics.Uplink, "max_message_size", cfg.MaxMessageBytes, "topic_allows", u.maxPayload)
	}
	return nil
}

// newClient makes a client that produces. It has not met a broker yet.
func (u *Uplink) newClient() (*kgo.Client, error) {
	cfg := &u.cfg
	return cfg.Kafka.newClient(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(max(cfg.Linger, 0)),
		kgo.ProduceRequestTimeout(cfg.ProduceTimeout),
		kgo.ProducerBatchCompression(cfg.Compression),
		// Asked for at a topic's first record, when connect has returned.
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return u.batchBytes }),
		// The budget admits before the client does. It counts more bytes for
		// a record than the client, so these two are never met.
		kgo.MaxBufferedRecords(int(cfg.BufferedBytes/itemOverhead)+1),
		kgo.MaxBufferedBytes(int(cfg.BufferedBytes)),
	)
}

const (
	// defaultBatchBytes is the client's own default for one batch.
	defaultBatchBytes = 1000012
	// recordOverhead covers a record of one in its batch, beside the payload:
	// 61 B of batch header, at most 2 × 128 B of principal, other headers.
	recordOverhead = 1 << 10
)
