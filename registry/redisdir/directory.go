package redisdir

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/histogram"
	"github.com/limpet-gateway/limpet/registry"
)

// Directory is one node's part in the shared directory. It follows the node's
// table, and answers where principals and groups are on all nodes.
type Directory struct {
	// Fixed at construction.
	config  Config
	table   *registry.Table
	store   *store
	watch   *watcher
	queues  []*queue
	notices *notices
	orphans orphans
	window  window
	refill  refill
	inboxes InboxTopic

	// Any goroutine.
	state    atomic.Int32
	mine     atomic.Pointer[[]uint32] // incarnations of this process, the present one first
	clock    atomic.Pointer[clockFix]
	stopFrom atomic.Pointer[time.Time] // no write may be sent from here on, for want of a lease
	api      atomic.Pointer[string]
	inbox    atomic.Int32  // partition leased to this node, or noInbox
	kick     chan struct{} // the keeper shall look now
	resync   chan string   // reason for a full resync

	written, late, displaced atomic.Uint64
	lostSessions, claims     atomic.Uint64
	resyncs, degradations    atomic.Uint64

	strangers string // of the last view, which has its goroutine

	keeper      keeper // owned by the goroutine that runs it
	inboxMissed bool   // it too: that there is none has been logged
}

// clockFix is what the server's clock said at a moment of this node's.
type clockFix struct {
	at     time.Time
	server int64 // milliseconds
}

// errLate is the outcome of a write that reached Redis after its deadline.
var errLate = errors.New("write reached Redis after its deadline")

// New prepares a directory for table and has it told of every change from now
// on; call it before the first Add. Nothing is sent before Run.
func New(c Config, table *registry.Table) (*Directory, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	d := &Directory{
		config:  c,
		table:   table,
		store:   &store{link: link{url: c.URL, timeout: c.CallTimeout}},
		notices: newNotices(),
		kick:    make(chan struct{}, 1),
		resync:  make(chan string, 1),
	}
	d.store.counted = func(calls, fails int) {
		if d.window.count(time.Now(), calls, fails) {
			d.degrade()
		}
	}
	d.watch = newWatcher(d.store)
	d.mine.Store(&[]uint32{})
	d.stopFrom.Store(&time.Time{})
	d.api.Store(&c.API)
	d.inbox.Store(noInbox)
	for range c.Writers {
		d.queues = append(d.queues, newQueue(c.Queue/c.Writers))
	}
	table.Observe(d)
	return d, nil
}

// Run works until ctx ends. It returns nil then; there is no other end.
func (d *Directory) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, q := range d.queues {
		wg.Go(func() { (&writer{d: d, q: q}).run(ctx) })
	}
	for _, part := range []func(context.Context){d.keep, d.look, d.claimDead, d.exchangeNotices, d.resyncOnDemand} {
		wg.Go(func() { part(ctx) })
	}
	wg.Wait()
	d.store.close()
	return nil
}

// Drain sends what is waiting and gives the lease back; call it when the
// sessions have been closed and before Run's context ends. Entries that could
// not be removed before ctx ended are left for another node to clear up. One that
// has never joined leaves nothing.
func (d *Directory) Drain(ctx context.Context) error {
	for d.waiting() > 0 && d.State().Connected() && ctx.Err() == nil {
		_ = pause(ctx, waitStep)
	}
	left := d.waiting()
	was := d.setState(Stopped)
	if len(*d.mine.Load()) == 0 { // it never joined
		return nil
	}
	if !was.Connected() {
		return fmt.Errorf("leave the directory: %w", ErrDegraded)
	}
	if err := d.leave(ctx, left == 0 && d.table.Stats().Sessions == 0); err != nil {
		return fmt.Errorf("leave the directory: %w", err)
	}
	if left > 0 {
		return fmt.Errorf("leave the directory: %d changes were not written", left)
	}
	return nil
}

// SetAPI says where this node's API is, where that is known only after it has
// started; the next renewal of the lease tells the others.
func (d *Directory) SetAPI(addr string) { d.api.Store(&addr) }

// PrincipalChanged implements registry.Observer. It copies its argument and
// never blocks.
func (d *Directory) PrincipalChanged(principal []byte) { d.enqueue(principals, principal) }

// GroupChanged implements registry.Observer, likewise.
func (d *Directory) GroupChanged(group []byte) { d.enqueue(groups, group) }

// enqueue gives all changes of one name to the same writer.
func (d *Directory) enqueue(k kind, name []byte) {
	d.queues[uint32(hash(name))%uint32(len(d.queues))].add(k, name)
}

func (d *Directory) waiting() int {
	n := 0
	for _, q := range d.queues {
		n += q.stats().length
	}
	return n
}

// State is how the directory stands with Redis. Any goroutine.
func (d *Directory) State() State { return State(d.state.Load()) }

// setState changes to a state, unless that is Stopped already: nothing leads
// out of it.
func (d *Directory) setState(s State) (was State) {
	for {
		was = d.State()
		if was == Stopped || was == s || d.swapState(was, s) {
			return was
		}
	}
}

func (d *Directory) swapState(from, to State) bool {
	if !d.state.CompareAndSwap(int32(from), int32(to)) {
		return false
	}
	switch to {
	case Degraded:
		d.changed(to, d.store.lastFailure())
	case Superseded:
		d.changed(to, errSuperseded)
	default:
		d.changed(to, nil)
	}
	return true
}

func (d *Directory) changed(to State, why error) {
	if d.config.Changed != nil {
		d.config.Changed(to, why)
	}
}

// degrade goes over to the own table alone, once per outage.
func (d *Directory) degrade() {
	for _, from := range []State{Joined, Recovering} {
		if d.swapState(from, Degraded) {
			d.degradations.Add(1)
			d.config.Log.Warn("Redis is failing: working from this node's own table alone",
				"err", d.store.lastFailure(), "failed_percent_above", windowPercent, "window", windowSlices*windowSlice)
			d.wakeKeeper()
		}
	}
}

func (d *Directory) wakeKeeper() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// askResync has the whole table compared with the directory, soon.
func (d *Directory) askResync(reason string) {
	select {
	case d.resync <- reason:
	default: // one is waiting already
	}
}

// noteFailure looks at why a write failed.
func (d *Directory) noteFailure(err error) {
	if errors.Is(err, errLate) {
		d.wakeKeeper() // our idea of the server's clock is wrong
	}
}

// mayWrite reports whether the lease is certain to hold until everything that
// is sent now has been executed or refused.
func (d *Directory) mayWrite() bool {
	return d.State().Connected() && time.Now().Before(*d.stopFrom.Load())
}

// serverTime turns a moment of this node into milliseconds of Redis' clock.
func (d *Directory) serverTime(t time.Time) int64 {
	fix := d.clock.Load()
	return fix.server + t.Sub(fix.at).Milliseconds()
}

// Stats is a snapshot for metrics. Counters only grow.
type Stats struct {
	State       State
	Incarnation uint32 // 0 before the first contact
	Inboxes     int    // partitions of which each node leases one; 0: this one needs none
	Inbox       int32  // the one that is leased to this node, -1 for none

	Queued    int // names waiting or under way
	QueuePeak int
	QueueMax  int
	Overruns  uint64 // names not remembered because the queue was full

	Written        uint64 // names whose state Redis has acknowledged
	Late           uint64 // runs refused because their deadline had passed
	Calls, Fails   uint64
	Displaced      uint64 // own sessions that had to give way to one elsewhere
	NoticesDropped uint64
	Claims         uint64 // dead incarnations cleared up after
	Lost           uint64 // sessions reported as lost
	Resyncs        uint64 // completed
	Degradations   uint64

	Trips    histogram.Snapshot // round trips to Redis in seconds, those that failed included
	Pipeline histogram.Snapshot // commands of a round trip
	// LeaseAge is the time since this node sent the renewal of its lease that
	// Redis acknowledged last; negative without a lease.
	LeaseAge time.Duration
	Lease    time.Duration // age at which the others call the node dead
}

// Stats may be called from any goroutine.
func (d *Directory) Stats() Stats {
	s := Stats{
		State:          d.State(),
		Inboxes:        d.inboxes.Partitions,
		Inbox:          d.inbox.Load(),
		QueueMax:       d.config.Queue,
		Written:        d.written.Load(),
		Late:           d.late.Load(),
		Calls:          d.store.calls.Load(),
		Fails:          d.store.fails.Load(),
		Displaced:      d.displaced.Load(),
		NoticesDropped: d.notices.dropped.Load(),
		Claims:         d.claims.Load(),
		Lost:           d.lostSessions.Load(),
		Resyncs:        d.resyncs.Load(),
		Degradations:   d.degradations.Load(),
		Trips:          d.store.trips.Snapshot(),
		Pipeline:       d.store.pipeline.Snapshot(),
		LeaseAge:       -time.Second,
		Lease:          d.config.Lease,
	}
	if stop := *d.stopFrom.Load(); !stop.IsZero() {
		s.LeaseAge = time.Since(stop) + d.leaseHolds()
	}
	if mine := *d.mine.Load(); len(mine) > 0 {
		s.Incarnation = mine[0]
	}
	for _, q := range d.queues {
		qs := q.stats()
		s.Queued += qs.length
		s.QueuePeak += qs.peak
		s.Overruns += qs.overruns
	}
	return s
}
