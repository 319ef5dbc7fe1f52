package redisdir

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/redis/rueidis"
)

const (
	// scriptNames is how many names one run of a script writes: the cost of a
	// run is spread over them, and it holds Redis up for about 0.2 ms.
	scriptNames = 64

	// linger is how long a writer that was idle waits for company to its first
	// name.
	linger = time.Millisecond

	// waitStep is how often a writer that may not write looks again.
	waitStep = 10 * time.Millisecond
)

// writer sends the changes of one share of the names, one batch after the
// other, so that two writes of one name are never under way together.
type writer struct {
	d *Directory
	q *queue

	names   []string           // scratch
	entries []registry.Session // scratch
}

func (w *writer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.q.wake:
		}
		if pause(ctx, linger) != nil {
			return
		}
		for w.q.stats().length > 0 {
			if !w.d.mayWrite() {
				if pause(ctx, waitStep) != nil {
					return
				}
				continue
			}
			w.flush(ctx, principals)
			w.flush(ctx, groups)
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// flush writes one batch of one kind.
func (w *writer) flush(ctx context.Context, k kind) {
	w.names = w.q.take(k, w.d.config.Batch, w.names[:0])
	if len(w.names) == 0 {
		return
	}
	mine := *w.d.mine.Load()
	deadline := time.Now().Add(w.d.config.CallTimeout + w.d.config.ClockSlack)
	batches := w.pack(k, mine, w.d.serverTime(deadline))
	calls := make([]scriptCall, len(batches))
	for i := range batches {
		calls[i] = batches[i].call
	}
	var again []string
	lost := false
	for i, r := range w.d.store.run(ctx, calls) {
		if err := w.settle(k, &batches[i], r); err != nil {
			again = append(again, batches[i].names...)
			lost = lost || failed(err)
			w.d.noteFailure(err)
		} else {
			w.q.settle(k, batches[i].names, false)
			w.d.written.Add(uint64(len(batches[i].names)))
		}
	}
	if again == nil {
		return
	}
	if lost && k == principals {
		for _, name := range again {
			w.d.notices.doubt(name)
		}
	}
	// What has failed may still be on its way. It must be settled, one way or
	// the other, before the same names are sent again: Redis refuses it after
	// its deadline.
	if lost {
		_ = pause(ctx, time.Until(deadline))
	}
	w.q.settle(k, again, true)
}

// batch is one run of the script and what went into it.
type batch struct {
	call  scriptCall
	names []string
	keys  map[string]int // bucket key → index in call.keys, from 1
}

// pack reads the present state of the names in w.names out of the table and
// puts it into as few runs of the script as the server's keys allow.
func (w *writer) pack(k kind, mine []uint32, deadline int64) []batch {
	l := w.d.store.layout()
	clustered := w.d.store.clustered()
	head := []string{strconv.FormatInt(deadline, 10), string(k), strconv.Itoa(w.d.table.MaxPerPrincipal()), strconv.Itoa(len(mine))}
	for _, incarnation := range mine {
		head = append(head, strconv.FormatUint(uint64(incarnation), 10))
	}
	var batches []batch
	open := map[string]int{} // what may share a run → index of the batch
	// The values are cut from one buffer, which must not be reused: a call that
	// is given up may still be read by the connection.
	values := make([]byte, 0, 16*len(w.names))
	for _, name := range w.names {
		key := k.bucketKey(l.bucket(k, name))
		place := ""
		if clustered {
			place = key
		}
		at, ok := open[place]
		if !ok || len(batches[at].names) >= scriptNames {
			at = len(batches)
			open[place] = at
			batches = append(batches, batch{
				call: scriptCall{script: scriptPut, args: append(make([]string, 0, len(head)+3*scriptNames), head...)},
				keys: map[string]int{},
			})
		}
		b := &batches[at]
		index, ok := b.keys[key]
		if !ok {
			index = len(b.call.keys) + 1
			b.keys[key] = index
			b.call.keys = append(b.call.keys, key, key+longSuffix)
		}
		if len(name) > longName {
			index++
		}
		start := len(values)
		values = w.state(values, k, name, mine[0])
		b.names = append(b.names, name)
		b.call.args = append(b.call.args, strconv.Itoa(index), name, string(values[start:]))
	}
	return batches
}

// state appends what the table holds of a name, as the directory stores it.
func (w *writer) state(dst []byte, k kind, name string, incarnation uint32) []byte {
	if k == groups {
		if n := w.d.table.GroupSize([]byte(name)); n > 0 {
			dst = presence{incarnation, uint32(n)}.append(dst)
		}
		return dst
	}
	w.entries = w.d.table.AppendEntries(w.entries[:0], []byte(name))
	for _, e := range w.entries {
		dst = record{e.Epoch, e.ID.Slot, e.ID.Generation, incarnation}.append(dst)
	}
	return dst
}

// settle reads the answer to one run and acts on its conflicts.
func (w *writer) settle(k kind, b *batch, r rueidis.RedisResult) error {
	answer, err := r.ToArray()
	if err != nil {
		return err
	}
	if len(answer) == 0 {
		return errBadValue
	}
	switch word, _ := answer[0].ToString(); word {
	case "late":
		w.d.late.Add(1)
		return errLate
	case "ok":
	default:
		return errBadValue
	}
	for answer = answer[1:]; len(answer) >= 3; answer = answer[3:] {
		change, err := answer[0].AsInt64()
		if err != nil || change < 0 || change >= int64(len(b.names)) {
			return fmt.Errorf("conflict of change %d: %w", change, errBadValue)
		}
		gone, _ := answer[1].ToString()
		refused, _ := answer[2].ToString()
		name := b.names[change]
		if err := eachRecord(gone, func(r record) { w.d.notices.displaced(name, r) }); err != nil {
			return err
		}
		if err := eachRecord(refused, func(r record) { w.d.displace(name, r) }); err != nil {
			return err
		}
	}
	return nil
}

// displace closes a session of this node that has to give way to a newer one
// elsewhere.
func (d *Directory) displace(principal string, r record) {
	id := session.ID{Incarnation: d.table.Incarnation(), Slot: r.slot, Generation: r.generation}
	if d.table.Displace([]byte(principal), id) {
		d.displaced.Add(1)
		d.config.Displaced(id)
	}
}

// pause waits, or returns why it could not.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
