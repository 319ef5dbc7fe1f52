package redisdir

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/limpet-gateway/limpet/registry"
)

const (
	// resyncStep is how many names are handed to the writers at a time.
	resyncStep = 1024

	// resyncRetry is the pause before a resync that was interrupted begins
	// again.
	resyncRetry = time.Second

	// resyncSettle is the pause before a resync begins: after a fault the
	// reasons come in numbers.
	resyncSettle = 50 * time.Millisecond
)

// resyncOnDemand makes the directory agree with the table, as often as asked.
func (d *Directory) resyncOnDemand(ctx context.Context) {
	for {
		var reason string
		select {
		case <-ctx.Done():
			return
		case reason = <-d.resync:
		}
		began := time.Now()
		for {
			if pause(ctx, resyncSettle) != nil {
				return
			}
			if !d.State().Connected() {
				continue
			}
			select { // what has been asked for meanwhile is part of this one
			case reason = <-d.resync:
			default:
			}
			begun := d.refill.count()
			names, err := d.resyncOnce(ctx)
			if err == nil {
				d.resyncs.Add(1)
				d.refill.done(begun, d.config.Lease)
				if d.swapState(Recovering, Joined) || reason != "audit" {
					d.config.Log.Info("directory agrees with this node's table again", "reason", reason,
						"names", names, "took", time.Since(began).Round(time.Millisecond))
				}
				break
			}
			if ctx.Err() != nil {
				return
			}
			d.config.Log.Debug("resync interrupted", "reason", reason, "err", err)
			if pause(ctx, resyncRetry) != nil {
				return
			}
		}
	}
}

// resyncOnce replays what waits, writes every principal and group of the table
// again, and then removes entries of this node that the table does not know.
func (d *Directory) resyncOnce(ctx context.Context) (names int, err error) {
	mine := slices.Clone(*d.mine.Load())
	formers, err := d.stillMine(ctx, mine[1:])
	if err != nil {
		return 0, err
	}
	if len(formers) < len(mine)-1 {
		d.forget(slices.DeleteFunc(slices.Clone(mine[1:]), func(n uint32) bool { return slices.Contains(formers, n) }))
		mine = append(mine[:1:1], formers...)
	}
	// While this node holds the claims on its own former incarnations, nobody
	// else reports their sessions as lost: they are alive, here.
	var claims []*claim
	for _, former := range mine[1:] {
		c, err := d.claim(ctx, former)
		if err != nil {
			return 0, err
		}
		if c != nil {
			defer c.abandon()
			claims = append(claims, c)
		}
	}
	if err := d.drained(ctx); err != nil {
		return 0, err
	}
	if names, err = d.reregister(ctx); err != nil {
		return names, err
	}
	if err := d.drained(ctx); err != nil {
		return names, err
	}
	if err := d.sweep(ctx, mine); err != nil {
		return names, err
	}
	if err := d.drained(ctx); err != nil {
		return names, err
	}
	for _, c := range claims {
		if err := c.finish(); err != nil {
			return names, err
		}
	}
	d.forget(mine[1:])
	return names, nil
}

// forget drops former incarnations of which nothing is left.
func (d *Directory) forget(former []uint32) {
	for {
		old := d.mine.Load()
		kept := []uint32{(*old)[0]}
		for _, n := range (*old)[1:] {
			if !slices.Contains(former, n) {
				kept = append(kept, n)
			}
		}
		if d.mine.CompareAndSwap(old, &kept) {
			return
		}
	}
}

// drained waits until everything that was queued has been written.
func (d *Directory) drained(ctx context.Context) error {
	for d.waiting() > 0 {
		if !d.State().Connected() {
			return ErrDegraded
		}
		if err := pause(ctx, waitStep); err != nil {
			return err
		}
	}
	return nil
}

// reregister queues every name of the table, at the limited rate and never
// more than half of what the queue holds.
func (d *Directory) reregister(ctx context.Context) (names int, err error) {
	began := time.Now()
	step := func() error {
		if names++; names%resyncStep != 0 {
			return nil
		}
		due := time.Duration(names) * time.Second / time.Duration(d.config.Reregister)
		if err := pause(ctx, due-time.Since(began)); err != nil {
			return err
		}
		for d.waiting() > d.config.Queue/2 {
			if err := pause(ctx, waitStep); err != nil {
				return err
			}
			if !d.State().Connected() {
				return ErrDegraded
			}
		}
		if !d.State().Connected() {
			return ErrDegraded
		}
		return nil
	}
	d.table.Walk(func(e registry.Entry) bool {
		d.enqueue(principals, e.Principal)
		err = step()
		return err == nil
	})
	if err == nil {
		d.table.WalkGroups(func(name []byte, _ int) bool {
			d.enqueue(groups, name)
			err = step()
			return err == nil
		})
	}
	return names, err
}

// sweep looks through the whole directory for entries of this node that its
// table does not know, and for entries of incarnations that nobody knows: what
// a master lost in a failover, what a full queue forgot.
func (d *Directory) sweep(ctx context.Context, mine []uint32) error {
	pace := func() error {
		if !d.State().Connected() {
			return ErrDegraded
		}
		return pause(ctx, claimPace)
	}
	orphans := map[kind]map[uint32][]string{principals: {}, groups: {}}
	known := d.watch.current.Load()
	own := func(k kind, name string, incarnation uint32) bool {
		if slices.Contains(mine, incarnation) {
			return true
		}
		if known.byIncarnation[incarnation] == nil {
			orphans[k][incarnation] = append(orphans[k][incarnation], name)
		}
		return false
	}
	var entries []registry.Session
	err := d.store.scan(ctx, principals, pace, func(name, value string) error {
		stale := false
		if err := eachRecord(value, func(r record) {
			if !own(principals, name, r.incarnation) {
				return
			}
			entries = d.table.AppendEntries(entries[:0], []byte(name))
			stale = stale || r.incarnation != mine[0] || !slices.ContainsFunc(entries, func(s registry.Session) bool {
				return s.Epoch == r.epoch && s.ID.Slot == r.slot && s.ID.Generation == r.generation
			})
		}); err != nil {
			return fmt.Errorf("entry of %q: %w", name, err)
		}
		if stale {
			d.enqueue(principals, []byte(name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = d.store.scan(ctx, groups, pace, func(name, value string) error {
		stale := false
		if err := eachPresence(value, func(p presence) {
			if own(groups, name, p.incarnation) {
				stale = stale || p.incarnation != mine[0] || int(p.members) != d.table.GroupSize([]byte(name))
			}
		}); err != nil {
			return fmt.Errorf("entry of group %q: %w", name, err)
		}
		if stale {
			d.enqueue(groups, []byte(name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.dropOrphans(ctx, orphans)
}

// dropOrphans removes records of incarnations that are not enrolled. The list
// is read again first: some may have enrolled since the sweep began.
func (d *Directory) dropOrphans(ctx context.Context, orphans map[kind]map[uint32][]string) error {
	if len(orphans[principals])+len(orphans[groups]) == 0 {
		return nil
	}
	v, err := d.watch.refresh(ctx)
	if err != nil {
		return err
	}
	for k, byIncarnation := range orphans {
		for incarnation, names := range byIncarnation {
			if v.byIncarnation[incarnation] != nil {
				continue
			}
			d.config.Log.Warn("removing entries of an unknown incarnation", "incarnation", incarnation, "entries", len(names))
			if err := d.drop(ctx, k, names, incarnation); err != nil {
				return err
			}
		}
	}
	return nil
}
