package redisdir

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/limpet-gateway/limpet/registry"
	"github.com/redis/rueidis"
)

// probesToRecover is how many probes in a row must succeed before Redis
// counts as back: one answer between two failures is not a recovery.
const probesToRecover = 3

// firstIncarnations is how far the numbers may jump on an empty Redis, at
// random: below 2^14 they are two bytes in each record.
const firstIncarnations = 1 << 12

// keeper holds the node's lease. Its fields belong to its goroutine.
type keeper struct {
	joined  bool            // ever
	told    bool            // that Redis cannot be used yet
	blind   bool            // it was said that masters cannot be told apart
	good    int             // probes in a row that succeeded
	masters map[string]bool // run ids of the servers that take writes
	best    time.Duration   // shortest round trip behind the clock fix
	fixedAt time.Time
}

// keep renews the lease, and while Redis is away it probes.
func (d *Directory) keep(ctx context.Context) {
	k := &d.keeper
	lastRenewal, lastWatch, lastAudit := time.Time{}, time.Time{}, time.Now()
	for ctx.Err() == nil {
		wait := d.config.View
		switch state := d.State(); {
		case state == Stopped:
		case !state.Connected():
			wait = d.config.Probe
			d.probe(ctx, state)
			lastRenewal = time.Now()
		default:
			now := time.Now()
			if now.Sub(lastRenewal) >= d.config.Renew {
				if err := d.renewLease(ctx); err != nil {
					d.config.Log.Debug("lease not renewed", "err", err)
					wait = min(wait, d.config.Probe)
				} else {
					lastRenewal = now
				}
			}
			if now.Sub(lastWatch) >= d.config.View {
				d.watchMasters(ctx)
				lastWatch = now
			}
			if d.config.Audit > 0 && now.Sub(lastAudit) >= d.config.Audit {
				lastAudit = now
				d.askResync("audit")
			}
			if d.overrun() {
				d.askResync("the queue was full")
			}
			wait = min(wait, max(d.config.Renew-time.Since(lastRenewal), time.Millisecond))
		}
		select {
		case <-ctx.Done():
		case <-d.kick:
			k.best = 0 // take the next fix of the clock whatever its quality
			lastRenewal = time.Time{}
		case <-time.After(wait):
		}
	}
}

func (d *Directory) overrun() bool {
	was := false
	for _, q := range d.queues {
		was = q.takeOverrun() || was
	}
	return was
}

// probe tries to come back, or to make first contact.
func (d *Directory) probe(ctx context.Context, state State) {
	k := &d.keeper
	if err := d.store.connect(); err != nil {
		d.probeFailed(err)
		return
	}
	if err := d.store.one(ctx, func(b rueidis.Builder) rueidis.Completed { return b.Get().Key(keyNext).Build() }).Error(); failed(err) {
		d.probeFailed(err)
		return
	}
	if k.good++; k.joined && k.good < probesToRecover {
		return
	}
	if err := d.join(ctx); err != nil {
		if !errors.Is(err, errSuperseded) {
			d.probeFailed(err)
		} else if state != Superseded {
			d.setState(Superseded)
			d.config.Log.Error("another process runs under this node's id: working from this node's own table alone",
				"err", err)
		}
		k.good = 0
		return
	}
	k.good = 0
	d.window.reset()
	next := Recovering
	if !k.joined {
		k.joined, next = true, Joined
	}
	back := next == Recovering || k.told // for others too, perhaps
	if back {
		d.refill.begin()
	}
	if d.setState(next) == Stopped {
		return
	}
	d.watchMasters(ctx)
	d.config.Log.Info("joined the directory", "node", d.config.Node, "incarnation", (*d.mine.Load())[0], "buckets", d.store.layout().buckets)
	if back {
		d.askResync("Redis is back")
	}
	if _, err := d.watch.refresh(ctx); err != nil {
		d.config.Log.Debug("nodes not read", "err", err)
	}
}

// probeFailed says why, the first time of a node that Redis has never answered:
// in an outage degrade has said it.
func (d *Directory) probeFailed(err error) {
	k := &d.keeper
	k.good = 0
	d.config.Log.Debug("Redis cannot be used", "err", err)
	if k.joined || k.told || d.State() != Starting {
		return
	}
	k.told = true
	d.config.Log.Warn("Redis cannot be used yet: working from this node's own table alone", "err", err)
	d.changed(Starting, err)
}

// errSuperseded says that the lease of this node's id is another process's.
var errSuperseded = errors.New("lease is held by another process")

// join takes up the lease where it was left, or starts a new incarnation.
func (d *Directory) join(ctx context.Context) error {
	if len(*d.mine.Load()) > 0 {
		if err := d.renewLease(ctx); err == nil || !errors.Is(err, errLeaseGone) {
			return err
		}
		return d.newIncarnation(ctx, "retake")
	}
	return d.newIncarnation(ctx, "take")
}

// errLeaseGone says that the lease ran out, or the incarnation is taken.
var errLeaseGone = errors.New("lease is gone")

// renewLease extends the lease and makes sure that the incarnation is known.
// A lease that is gone costs the node its incarnation: whatever others have
// concluded from that stays true.
func (d *Directory) renewLease(ctx context.Context) error {
	mine := *d.mine.Load()
	sent := time.Now()
	done, held, err := leaseAnswer(d.store.runOne(ctx, d.leaseCall("renew", mine[0])))
	if err != nil {
		return err
	}
	if done {
		n, entered, err := d.enroll(ctx, mine[0])
		if err != nil {
			return err
		}
		if n == mine[0] {
			if entered { // a Redis Cluster has lost the nodes, and not this lease
				d.refill.begin()
				d.askResync("Redis did not know this node")
			}
			d.leaseHeld(sent)
			d.leaseInbox(ctx, n, nil)
			return nil
		}
	}
	if held != "" {
		for _, from := range []State{Joined, Recovering} {
			d.swapState(from, Degraded)
		}
		return fmt.Errorf("%w: %s", errSuperseded, held)
	}
	if !d.State().Connected() {
		return errLeaseGone
	}
	d.config.Log.Warn("lease was lost", "incarnation", mine[0])
	return d.newIncarnation(ctx, "retake")
}

// newIncarnation enrols this process under a new number.
func (d *Directory) newIncarnation(ctx context.Context, mode string) error {
	d.stopFrom.Store(&time.Time{})
	if mode == "retake" {
		held, err := d.store.one(ctx, func(b rueidis.Builder) rueidis.Completed {
			return b.Get().Key(keyLease(d.config.Node)).Build()
		}).ToString()
		if err == nil {
			holder, _ := parseLease(held)
			if !slices.Contains(*d.mine.Load(), holder.incarnation) {
				return fmt.Errorf("%w: %s", errSuperseded, held)
			}
		} else if !rueidis.IsRedisNil(err) {
			return err
		}
	}
	n, _, err := d.enroll(ctx, 0)
	if err != nil {
		return err
	}
	sent := time.Now()
	done, held, err := leaseAnswer(d.store.runOne(ctx, d.leaseCall(mode, n)))
	if err != nil {
		return err
	}
	if !done {
		return fmt.Errorf("%w: %s", errSuperseded, held)
	}
	taken, _, err := d.enroll(ctx, n)
	if err != nil {
		return err
	}
	if taken != n {
		return fmt.Errorf("incarnation %d was taken meanwhile", n)
	}
	d.watch.saw(n)
	// Records of earlier incarnations are still this node's, until the resync
	// has rewritten or removed the last of them.
	formers, err := d.stillMine(ctx, *d.mine.Load())
	if err != nil {
		return err
	}
	d.leaseInbox(ctx, n, formers)
	mine := append([]uint32{n}, formers...)
	if len(mine) > 1 {
		d.refill.begin()
	}
	d.mine.Store(&mine)
	d.leaseHeld(sent)
	if len(mine) > 1 {
		d.config.Log.Info("started a new incarnation", "incarnation", n)
		d.askResync("new incarnation")
	}
	return nil
}

// stillMine leaves out incarnations that are another process's by now: after
// Redis has lost its memory, numbers may be given out a second time.
func (d *Directory) stillMine(ctx context.Context, incarnations []uint32) ([]uint32, error) {
	if len(incarnations) == 0 {
		return nil, nil
	}
	owners, err := d.store.one(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Hgetall().Key(keyIncarnations).Build()
	}).AsStrMap()
	if err != nil {
		return nil, err
	}
	var mine []uint32
	for _, n := range incarnations {
		owner, known := owners[strconv.FormatUint(uint64(n), 10)]
		if !known || owner == description(d.table.Incarnation(), d.config.Node) {
			mine = append(mine, n)
		}
	}
	return mine, nil
}

func (d *Directory) leaseHeld(sent time.Time) {
	stop := sent.Add(d.leaseHolds())
	if was := d.stopFrom.Swap(&stop); !time.Now().Before(*was) && d.inbox.Load() != noInbox {
		d.inboxes.Changed(nil)
	}
}

// leaseHolds is how long after a renewal was sent this node may still write.
func (d *Directory) leaseHolds() time.Duration {
	return d.config.Lease - 2*d.config.CallTimeout - d.config.ClockSlack
}

func (d *Directory) leaseCall(mode string, incarnation uint32) scriptCall {
	value := leaseholder{incarnation, d.table.Stats().Sessions, *d.api.Load(), d.config.Bus}.value()
	former := uint32(0)
	if mine := *d.mine.Load(); len(mine) > 0 {
		former = mine[0]
	}
	return scriptCall{scriptLease, []string{keyLease(d.config.Node)}, []string{
		mode, strconv.FormatUint(uint64(incarnation), 10), value, strconv.FormatInt(d.config.Lease.Milliseconds(), 10),
		strconv.FormatUint(uint64(former), 10),
	}}
}

func leaseAnswer(r rueidis.RedisResult) (done bool, held string, err error) {
	answer, err := r.ToArray()
	if err != nil {
		return false, "", err
	}
	if len(answer) != 2 {
		return false, "", errBadValue
	}
	n, _ := answer[0].AsInt64()
	held, _ = answer[1].ToString()
	return n == 1, held, nil
}

// enroll has Redis give out an incarnation, for 0, or know one as this
// process's, and learns from the answer the server's clock, the lead of the
// epochs and the layout. It returns the incarnation, 0 for one that is another
// process's, and whether Redis did not know it before.
func (d *Directory) enroll(ctx context.Context, incarnation uint32) (n uint32, entered bool, err error) {
	spills := "0"
	if d.table.MaxPerPrincipal() > neverSpills {
		spills = "1"
	}
	buckets := bucketsFor(d.config.Expect)
	if l := d.store.shared.Load(); l != nil { // what holds now goes before what this node would choose
		buckets = l.buckets
	}
	sent := time.Now()
	answer, err := d.store.runOne(ctx, scriptCall{scriptEnroll, []string{keyIncarnations, keyNext, keyFacts}, []string{
		strconv.FormatUint(uint64(incarnation), 10),
		description(d.table.Incarnation(), d.config.Node),
		strconv.FormatUint(uint64(d.watch.newest.Load()), 10),
		strconv.FormatInt(d.table.Clock().Last().Time().UnixMilli(), 10),
		strconv.FormatUint(uint64(buckets), 10),
		strconv.FormatInt(d.config.ClockSlack.Milliseconds(), 10),
		spills,
		strconv.Itoa(1 + rand.IntN(firstIncarnations)),
	}}).AsIntSlice()
	took := time.Since(sent)
	if err != nil {
		return 0, false, err
	}
	if len(answer) != 6 || answer[3] < 1 || answer[3] > maxBuckets {
		return 0, false, fmt.Errorf("enrolment: %w", errBadValue)
	}
	d.fixClock(sent, took, answer[1], answer[2])
	l := layout{buckets: uint32(answer[3]), spills: answer[4] == 1}
	if old := d.store.shared.Swap(&l); old != nil && *old != l {
		d.askResync("the layout of the directory has changed")
	}
	return uint32(answer[0]), answer[5] == 1, nil
}

// clockKeeps is how long a good fix of the clock is preferred to a worse one.
const clockKeeps = 30 * time.Second

// fixClock notes that the server's clock stood at server half-way through a
// round trip: the error is at most half its length, so short ones are best.
func (d *Directory) fixClock(sent time.Time, took time.Duration, server, lead int64) {
	k := &d.keeper
	if k.best == 0 || took <= k.best || time.Since(k.fixedAt) > clockKeeps {
		k.best, k.fixedAt = took, sent
		d.clock.Store(&clockFix{at: sent.Add(took / 2), server: server})
	}
	now := time.Now()
	epochTime := time.UnixMilli(d.serverTime(now) + lead)
	d.table.Clock().Correct(epochTime.Sub(now.Round(0)))
}

// watchMasters asks for a resync when a server that takes writes has come
// new: what it does not know was lost without any call failing.
func (d *Directory) watchMasters(ctx context.Context) {
	ids, err := d.store.masters(ctx)
	k := &d.keeper
	if refused := (*rueidis.RedisError)(nil); errors.As(err, &refused) && !k.blind {
		k.blind = true
		d.config.Log.Warn("Redis does not say which server it is: a failover or restart that loses entries may go unnoticed until the next audit; allow this user INFO",
			"err", err, "audit", d.config.Audit)
	}
	if err != nil || len(ids) == 0 {
		return
	}
	for id := range ids {
		if k.masters != nil && !k.masters[id] {
			d.refill.begin()
			d.askResync("a Redis master is new")
			break
		}
	}
	k.masters = ids
}

// look refreshes the view of the other nodes.
func (d *Directory) look(ctx context.Context) {
	for pause(ctx, d.config.View) == nil {
		if !d.State().Connected() {
			continue
		}
		v, err := d.watch.refresh(ctx)
		if err != nil {
			d.config.Log.Debug("nodes not read", "err", err)
			continue
		}
		d.compareBuses(v)
	}
}

// leave gives the lease back, and where nothing of this node is left in the
// directory, its incarnations too.
func (d *Directory) leave(ctx context.Context, clean bool) error {
	mine := *d.mine.Load()
	if err := d.releaseInbox(ctx, mine[0]); err != nil {
		return err
	}
	if _, _, err := leaseAnswer(d.store.runOne(ctx, d.leaseCall("release", mine[0]))); err != nil {
		return err
	}
	if !clean || len(mine) > 1 {
		return nil
	}
	return d.store.one(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Hdel().Key(keyIncarnations).Field(strconv.FormatUint(uint64(mine[0]), 10)).Build()
	}).Error()
}

var _ registry.Observer = (*Directory)(nil)
