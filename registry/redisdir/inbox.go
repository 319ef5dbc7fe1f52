package redisdir

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Each live node leases one partition of a topic, in which other nodes leave
// what is for its sessions. The lease is no lease of its own: a partition
// belongs to an incarnation, and is free as soon as that has ended
// (lua/inbox.lua). It is taken before the node writes its first entry, so
// whoever finds a session in the directory finds the partition of its node too.

// noInbox stands for no partition.
const noInbox = -1

// ErrNoInbox says that more nodes live than there are partitions.
var ErrNoInbox = errors.New("no inbox is left")

// InboxTopic is the topic in which nodes lease partitions.
type InboxTopic struct {
	Name       string
	Partitions int // 0: this node leases none

	// Changed is told that Inbox may answer differently from now on; why says
	// what to do about there being none, and is nil otherwise. It is called from
	// the directory's goroutines and must not block. May be nil.
	Changed func(why error)
}

// SetInboxes has this node lease a partition of t. Before Run.
func (d *Directory) SetInboxes(t InboxTopic) {
	if t.Changed == nil {
		t.Changed = func(error) {}
	}
	d.inboxes = t
}

// Inbox returns the partition that is leased to this node. ok is false while
// there is none, and from when the lease may have run out until it is known to
// be held. Any goroutine.
func (d *Directory) Inbox() (partition int32, ok bool) {
	partition = d.inbox.Load()
	return partition, partition != noInbox && time.Now().Before(*d.stopFrom.Load())
}

// InboxOf returns the partition of the live node whose session ids carry
// process: -1 while it has none. It answers from what was seen at most
// Config.View ago, and asks Redis only about a process that it has not seen. It
// fails with ErrDegraded while Redis is away. Any goroutine, not event loops.
func (d *Directory) InboxOf(ctx context.Context, process uint64) (partition int32, alive bool, err error) {
	if !d.State().Connected() {
		return noInbox, false, ErrDegraded
	}
	v := d.watch.current.Load()
	n := v.byProcess[process]
	if n == nil && time.Since(v.at) > askAgain {
		if v, err = d.watch.refresh(ctx); err != nil {
			return noInbox, false, err
		}
		n = v.byProcess[process]
	}
	if n == nil {
		return noInbox, false, nil
	}
	return n.Inbox, true, nil
}

// Look brings what InboxOf and Lookup know of the nodes up to date, on the
// terms of InboxOf.
func (d *Directory) Look(ctx context.Context) error {
	if !d.State().Connected() {
		return ErrDegraded
	}
	_, err := d.watch.refresh(ctx)
	return err
}

// leaseInbox makes sure that incarnation has a partition; formers are its
// process's earlier ones. A failure leaves things as they are: the next
// renewal tries again.
func (d *Directory) leaseInbox(ctx context.Context, incarnation uint32, formers []uint32) {
	if d.inboxes.Partitions == 0 {
		return
	}
	ended := formers
	was := d.inbox.Load()
	if was == noInbox || len(formers) > 0 {
		v, err := d.watch.refresh(ctx)
		if err != nil {
			d.config.Log.Debug("nodes not read", "err", err)
			return
		}
		for n, node := range v.byIncarnation {
			if !node.Alive && n != incarnation {
				ended = append(ended, n)
			}
		}
	}
	is, err := d.inboxCall(ctx, incarnation, d.inboxes.Partitions, was, ended)
	if err != nil {
		d.config.Log.Debug("no inbox leased", "err", err)
		return
	}
	if d.inbox.Swap(is); is == noInbox {
		why := fmt.Errorf("%w: all %d partitions of %s are leased to other nodes, so what is for this one goes to all of them; add partitions to the topic and restart this node, or stop another one",
			ErrNoInbox, d.inboxes.Partitions, d.inboxes.Name)
		if !d.inboxMissed {
			d.inboxMissed = true
			d.config.Log.Error("others reach this node the long way only", "err", why)
		}
		d.inboxes.Changed(why)
		return
	}
	if is != was {
		d.inboxMissed = false
		d.config.Log.Info("leased an inbox", "topic", d.inboxes.Name, "partition", is, "incarnation", incarnation)
		d.inboxes.Changed(nil)
	}
}

// releaseInbox gives the partition back. The node's lease must still be held:
// afterwards somebody else may have it.
func (d *Directory) releaseInbox(ctx context.Context, incarnation uint32) error {
	if d.inbox.Swap(noInbox) == noInbox {
		return nil
	}
	_, err := d.inboxCall(ctx, incarnation, 0, noInbox, nil)
	return err
}

func (d *Directory) inboxCall(ctx context.Context, incarnation uint32, partitions int, like int32, ended []uint32) (int32, error) {
	args := []string{strconv.FormatUint(uint64(incarnation), 10), strconv.Itoa(partitions), strconv.Itoa(int(like))}
	for _, n := range ended {
		args = append(args, strconv.FormatUint(uint64(n), 10))
	}
	partition, err := d.store.runOne(ctx, scriptCall{scriptInbox, []string{keyInboxes, keyIncarnations}, args}).AsInt64()
	return int32(partition), err
}
