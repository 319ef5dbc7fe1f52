package redisdir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/registry"
	"github.com/redis/rueidis"
)

const (
	// looksUntilClaim is how many views in a row must show an incarnation dead
	// before it is claimed: one that has just enrolled has no lease yet.
	looksUntilClaim = 2

	// claimBatch is how many sessions are reported lost and then forgotten in
	// one step.
	claimBatch = 512

	// claimPace is the pause between two reads of a scan, so that clearing up
	// leaves Redis to the living.
	claimPace = time.Millisecond
)

// claimDead clears up after incarnations whose lease has ended.
func (d *Directory) claimDead(ctx context.Context) {
	looks := map[uint32]int{}
	var last time.Time
	for pause(ctx, d.config.View) == nil {
		v := d.watch.current.Load()
		if !d.State().Connected() || v.at.Equal(last) {
			continue
		}
		last = v.at
		if err := d.reportOrphans(ctx); err != nil && ctx.Err() == nil {
			d.config.Log.Warn("lost sessions could not be reported; it will be tried again", "err", err)
		}
		for n := range looks {
			if known := v.byIncarnation[n]; known == nil || known.Alive {
				delete(looks, n)
			}
		}
		for n, node := range v.byIncarnation {
			if node.Alive || slices.Contains(*d.mine.Load(), n) {
				continue
			}
			if looks[n]++; looks[n] < looksUntilClaim {
				continue
			}
			if err := d.clearUp(ctx, node); err != nil && ctx.Err() == nil {
				d.config.Log.Warn("clearing up after a dead node was interrupted; it will be taken up again",
					"node", node.ID, "incarnation", n, "err", err)
			}
		}
	}
}

// clearUp reports and removes what a dead incarnation has left, if no other
// node is doing so.
func (d *Directory) clearUp(ctx context.Context, dead *Node) error {
	c, err := d.claim(ctx, dead.Incarnation)
	if err != nil || c == nil {
		return err
	}
	defer c.abandon()
	var lost []registry.LostSession
	var names []string
	total := 0
	flush := func() error {
		if len(lost) == 0 {
			return nil
		}
		if err := c.held(); err != nil {
			return err
		}
		if d.config.Lost != nil {
			if err := d.config.Lost.Lost(c.ctx, lost); err != nil {
				return fmt.Errorf("report lost sessions: %w", err)
			}
		}
		if err := d.drop(c.ctx, principals, names, dead.Incarnation); err != nil {
			return err
		}
		total += len(lost)
		d.lostSessions.Add(uint64(len(lost)))
		lost, names = lost[:0], names[:0]
		return nil
	}
	err = d.store.scan(c.ctx, principals, c.step, func(name, value string) error {
		before := len(lost)
		if err := eachRecord(value, func(r record) {
			if r.incarnation == dead.Incarnation {
				lost = append(lost, registry.LostSession{Principal: name, Session: r.session(dead), Node: dead.ID})
			}
		}); err != nil {
			return fmt.Errorf("entry of %q: %w", name, err)
		}
		if len(lost) > before {
			names = append(names, name)
		}
		if len(lost) >= claimBatch {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		var n int
		n, err = d.clearList(c, dead)
		total += n
	}
	if err == nil {
		err = d.clearGroups(c, dead.Incarnation)
	}
	if err == nil {
		err = c.finish()
	}
	if err != nil {
		return err
	}
	d.claims.Add(1)
	d.config.Log.Info("cleared up after a dead node", "node", dead.ID, "incarnation", dead.Incarnation, "sessions_lost", total)
	return nil
}

func (d *Directory) clearGroups(c *claim, dead uint32) error {
	var names []string
	flush := func() error {
		err := d.drop(c.ctx, groups, names, dead)
		names = names[:0]
		return err
	}
	err := d.store.scan(c.ctx, groups, c.step, func(name, value string) error {
		mentioned := false
		if err := eachPresence(value, func(p presence) { mentioned = mentioned || p.incarnation == dead }); err != nil {
			return fmt.Errorf("entry of group %q: %w", name, err)
		}
		if mentioned {
			names = append(names, name)
		}
		if len(names) >= claimBatch {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// drop removes the records of ended incarnations from the values of names.
func (d *Directory) drop(ctx context.Context, k kind, names []string, ended ...uint32) error {
	l := d.store.layout()
	clustered := d.store.clustered()
	head := []string{string(k), strconv.Itoa(len(ended))}
	for _, n := range ended {
		head = append(head, strconv.FormatUint(uint64(n), 10))
	}
	open := map[string]int{}
	var calls []scriptCall
	for _, name := range names {
		key := k.bucketKey(l.bucket(k, name))
		place := ""
		if clustered {
			place = key
		}
		at, ok := open[place]
		if !ok || len(calls[at].keys) >= 2*scriptNames {
			at = len(calls)
			open[place] = at
			calls = append(calls, scriptCall{script: scriptDrop, args: slices.Clone(head)})
		}
		call := &calls[at]
		index := slices.Index(call.keys, key) + 1
		if index == 0 {
			index = len(call.keys) + 1
			call.keys = append(call.keys, key, key+longSuffix)
		}
		if len(name) > longName {
			index++
		}
		call.args = append(call.args, strconv.Itoa(index), name)
	}
	for len(calls) > 0 {
		n := min(len(calls), scanBatch)
		for _, r := range d.store.run(ctx, calls[:n]) {
			if err := r.Error(); err != nil {
				return fmt.Errorf("remove entries of ended incarnations: %w", err)
			}
		}
		calls = calls[n:]
	}
	return nil
}

// claim is the right to clear up after one incarnation: a lock with a token
// that only its holder can extend or end.
type claim struct {
	d           *Directory
	incarnation uint32
	token       string
	ctx         context.Context // ends when the lock is lost
	cancel      context.CancelCauseFunc
	done        chan struct{}
	until       atomic.Pointer[time.Time]
}

// errClaimLost ends the work under a claim.
var errClaimLost = errors.New("claim is lost")

// claim returns nil when another node holds the right.
func (d *Directory) claim(ctx context.Context, incarnation uint32) (*claim, error) {
	c := &claim{d: d, incarnation: incarnation, token: rand.Text(), done: make(chan struct{})}
	asked := time.Now()
	err := d.store.one(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Set().Key(keyClaim(incarnation)).Value(c.token).Nx().PxMilliseconds(d.config.Lease.Milliseconds()).Build()
	}).Error()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	// The list of incarnations may say since that somebody has finished.
	known, err := d.store.one(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Hexists().Key(keyIncarnations).Field(strconv.FormatUint(uint64(incarnation), 10)).Build()
	}).AsBool()
	c.heldFrom(asked)
	go c.extend()
	if err == nil && !known {
		err = c.finish()
		c.abandon()
		return nil, err
	}
	return c, err
}

// extend keeps the lock, and ends the claim when it cannot.
func (c *claim) extend() {
	defer close(c.done)
	for pause(c.ctx, c.d.config.Lease/4) == nil {
		asked := time.Now()
		n, err := c.call(c.d.config.Lease.Milliseconds())
		switch {
		case err == nil && n == 1:
			c.heldFrom(asked)
		case err == nil || time.Now().After(c.until.Load().Add(-c.d.config.Lease/4)):
			c.cancel(errClaimLost)
		}
	}
}

func (c *claim) call(extendMillis int64) (int64, error) {
	return c.d.store.runOne(c.ctx, scriptCall{scriptClaim, []string{keyClaim(c.incarnation), keyIncarnations}, []string{
		c.token, strconv.FormatInt(extendMillis, 10), strconv.FormatUint(uint64(c.incarnation), 10),
	}}).AsInt64()
}

// held returns nil while the lock is certain to be this node's.
func (c *claim) held() error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	if time.Now().After(*c.until.Load()) { // this process stood still
		return errClaimLost
	}
	return nil
}

func (c *claim) heldFrom(asked time.Time) {
	until := asked.Add(c.d.config.Lease)
	c.until.Store(&until)
}

func (c *claim) step() error {
	if err := c.held(); err != nil {
		return err
	}
	return pause(c.ctx, claimPace)
}

// finish forgets the incarnation and ends the lock.
func (c *claim) finish() error {
	n, err := c.call(0)
	if err == nil && n != 1 {
		err = errClaimLost
	}
	return err
}

// abandon stops extending; a lock that was not finished runs out.
func (c *claim) abandon() {
	c.cancel(errClaimLost)
	<-c.done
}
