package bridge

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Limits of a worker.
const (
	takeLength = 256 // messages taken from the queue under one lock

	// flushPoll bounds how long a held value waits for room that came without a
	// wake-up, since the budget is common to all workers.
	flushPoll = 10 * time.Millisecond

	// Pause before records that Kafka failed are produced again: doubled from
	// the first to the last. Only failures that the client itself does not
	// retry come here.
	repairPauseMin = 50 * time.Millisecond
	repairPauseMax = 2 * time.Second
)

// worker takes the messages of the principals that hash to it to the client.
//
// Non-obvious: an item's seq grows in the order of acceptance. When Kafka fails
// a record for a reason that the client does not retry, the worker stops taking
// from the queue until everything in flight has been answered, produces the
// failed ones again in the order of seq, and only then goes on. What the client
// was given between the failure and its call-back may still overtake; failures
// that the client retries, which are all that a healthy cluster shows, change
// no order.
type worker struct {
	// Fixed at construction.
	u    *Uplink
	wake chan struct{} // capacity 1: somebody has something for the worker

	mu    sync.Mutex // taken on the loops: never held across I/O
	queue ring
	held  map[session.ID]*item // latest value of medium priority that found no room
	owed  []Event              // ends of sessions that found no room
	seq   uint64
	idle  bool // waits for wake

	failedMu sync.Mutex
	failed   []*item
	failing  atomic.Bool  // failed is not empty
	inflight atomic.Int64 // handed to the client and not answered

	// Owned by run.
	pause   time.Duration
	flushed time.Time // when held values were last looked at to be sent
}

func newWorker(u *Uplink) *worker {
	return &worker{
		u:     u,
		wake:  make(chan struct{}, 1),
		queue: newRing(u.cfg.QueueLength),
		held:  map[session.ID]*item{},
	}
}

// offer queues it, or holds it when it is of medium priority and there is no
// room. reserved says whether the budget has room for it. It returns false
// when the item was not taken; it is the caller's again then.
func (w *worker) offer(it *item, reserved bool) bool {
	it.worker = w
	w.mu.Lock()
	ok := w.offerLocked(it, reserved)
	wake := ok && w.idle
	if wake {
		w.idle = false
	}
	w.mu.Unlock()
	if wake {
		w.signal()
	}
	return ok
}

func (w *worker) offerLocked(it *item, reserved bool) bool {
	b := w.u.budget
	if len(w.held) > 0 {
		if old := w.held[it.session]; old != nil {
			if it.priority == session.Medium {
				if reserved {
					b.release(it.cost())
				}
				return w.replaceHeld(old, it)
			}
			// The held value is older than this message: it goes first, if
			// both find room, so that the session's order is kept.
			if reserved && w.queue.room() >= 2 && b.reserve(session.High, old.cost()) {
				w.unhold(old)
				w.push(old)
			}
		}
	}
	if reserved && w.queue.has(it.priority) {
		w.push(it)
		return true
	}
	if reserved {
		b.release(it.cost())
	}
	if it.priority != session.Medium || !b.hold(it.cost()) {
		return false
	}
	w.held[it.session] = it
	w.u.count.heldValues.Add(1)
	return true
}

// replaceHeld puts it in the place of old, the held value of the same session.
func (w *worker) replaceHeld(old, it *item) bool {
	w.u.budget.unhold(old.cost())
	if !w.u.budget.hold(it.cost()) {
		w.u.budget.held.Add(old.cost())
		return false
	}
	w.held[it.session] = it
	old.free()
	w.u.count.coalesced.Add(1)
	w.u.settle(1)
	return true
}

func (w *worker) unhold(it *item) {
	delete(w.held, it.session)
	w.u.budget.unhold(it.cost())
	w.u.count.heldValues.Add(-1)
}

func (w *worker) push(it *item) {
	w.seq++
	it.seq = w.seq
	w.queue.push(it)
}

func (w *worker) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run is the worker's goroutine. It ends when the uplink stops.
func (w *worker) run() {
	defer w.u.running.Done()
	batch := make([]*item, 0, takeLength)
	poll := time.NewTimer(flushPoll)
	defer poll.Stop()
	for {
		if w.failing.Load() {
			if !w.repair() {
				return
			}
			continue
		}
		var holding bool
		if len(batch) == 0 {
			batch, holding = w.take(batch)
		}
		if len(batch) > 0 {
			batch = w.produceAll(batch)
			continue
		}
		var again <-chan time.Time
		if holding {
			poll.Reset(flushPoll)
			again = poll.C
		}
		select {
		case <-w.wake:
		case <-again:
		case <-w.u.stop:
			return
		}
	}
}

// take moves what is due from the queue to batch: queued items first, then held
// values and owed events for which there is room now. With nothing due it marks
// the worker idle. holding says that some of the latter remain.
func (w *worker) take(batch []*item) (_ []*item, holding bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(batch) < takeLength {
		it := w.queue.pop()
		if it == nil {
			break
		}
		batch = append(batch, it)
	}
	if len(w.held) > 0 && len(batch) < takeLength && !w.coalescing(time.Now()) {
		for _, it := range w.held {
			if len(batch) == takeLength || !w.u.budget.reserve(session.Medium, it.cost()) {
				break
			}
			w.unhold(it)
			w.seq++
			it.seq = w.seq
			batch = append(batch, it)
		}
	}
	if len(w.owed) > 0 {
		batch = w.takeOwedLocked(batch)
	}
	w.idle = len(batch) == 0
	return batch, len(w.held)+len(w.owed) > 0
}

// produceAll hands batch to the client and returns it empty, or as it is when
// older items have failed meanwhile: those go first.
func (w *worker) produceAll(batch []*item) []*item {
	w.u.gate.RLock()
	defer w.u.gate.RUnlock()
	if w.failing.Load() {
		return batch
	}
	for _, it := range batch {
		w.produce(it)
	}
	clear(batch)
	return batch[:0]
}

// produce hands one item to the client, inside the gate.
func (w *worker) produce(it *item) {
	it.err, it.renewals = nil, w.u.renewals.Load()
	w.inflight.Add(1)
	w.u.client.Load().TryProduce(it.Context, &it.record, w.u.promise)
}

// answered is the client's call-back. The client calls it for one record at a
// time; it must not block.
func (w *worker) answered(it *item, err error) {
	u := w.u
	switch {
	case err == nil:
		u.count.acked.Add(1)
		u.count.ackedBytes.Add(uint64(len(it.record.Value)))
		u.count.latency.Observe(time.Since(it.record.Timestamp))
		u.budget.release(it.cost())
		it.free()
		u.settle(1)
	case it.alone && tooLarge(err):
		u.count.rejected.Add(1)
		id, priority := it.session, it.priority
		u.budget.release(it.cost())
		it.free()
		u.settle(1)
		u.cfg.OnRejected(id, priority, err)
	default:
		it.err = err
		w.failedMu.Lock()
		w.failed = append(w.failed, it)
		w.failing.Store(true)
		w.failedMu.Unlock()
	}
	w.inflight.Add(-1)
	if w.failing.Load() {
		w.signal()
	}
}

// tooLarge reports whether err is about the size of a batch: the failure of a
// record alone in its batch is then final.
func tooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// repair produces again what Kafka failed. It returns false when the uplink
// stops.
func (w *worker) repair() bool {
	if !w.quiet() {
		return false
	}
	w.failedMu.Lock()
	items := w.failed
	w.failed = nil
	w.failing.Store(false)
	w.failedMu.Unlock()
	slices.SortFunc(items, func(a, b *item) int { return cmp.Compare(a.seq, b.seq) })
	w.pause = min(max(2*w.pause, repairPauseMin), repairPauseMax)
	w.u.cfg.Kafka.logger().Warn("kafka failed records; they are produced again", "records", len(items), "error", items[0].err, "pause", w.pause)
	select {
	case <-time.After(w.pause):
	case <-w.u.stop:
		return false
	}
	if !w.u.restoreTopics(items) {
		return false
	}
	if !w.produceAgain(items) || !w.quiet() {
		return false
	}
	if !w.failing.Load() {
		w.pause = 0
	}
	return true
}

// produceAgain hands failed items to the client. It returns false when the
// uplink stops.
func (w *worker) produceAgain(items []*item) bool {
	w.u.gate.RLock()
	defer w.u.gate.RUnlock()
	for _, it := range items {
		w.u.count.retried.Add(1)
		// A batch that was too large may have been so because of one record in
		// it: each goes alone, and the one that fails again is found.
		if it.alone = tooLarge(it.err); it.alone && !w.quiet() {
			return false
		}
		alone := it.alone // the item may be gone when produce returns
		w.produce(it)
		if alone && !w.quiet() {
			return false
		}
	}
	return true
}

// quiet waits until everything that the client has of w is answered. It returns
// false when the uplink stops. Another worker may call it too, so it leaves
// w.wake alone.
func (w *worker) quiet() bool {
	for w.inflight.Load() > 0 {
		select {
		case <-time.After(quietPoll):
		case <-w.u.stop:
			return false
		}
	}
	return true
}

// quietPoll is how often quiet looks.
const quietPoll = 2 * time.Millisecond
