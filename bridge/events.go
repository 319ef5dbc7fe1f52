package bridge

import (
	"hash/maphash"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Event sends e to the events topic with the delivery guarantee of a message
// of high priority. It never blocks and may be called on the loops; e.Node is
// set to this node's id if it is empty.
//
// An event that ends a session is always accepted, so that what consumers know
// comes true in the end: when there is no room it is owed, outside the budget.
// That is bounded too: while there is no room Connected is Refused, the caller
// then lets no session begin, and those that live end once.
func (u *Uplink) Event(e Event) Verdict {
	if e.Node == "" {
		e.Node = u.cfg.Node
	}
	u.count.outstanding.Add(1)
	if u.closing.Load() {
		return u.refuseEvent()
	}
	w := u.workers[maphash.String(u.seed, e.Principal)%uint64(len(u.workers))]
	n := e.size()
	if !u.budget.reserve(session.High, cost(n)) {
		if !e.Ends() {
			return u.refuseEvent()
		}
		w.owe(e)
		u.count.events.Add(1)
		return Accepted
	}
	it := u.eventItem(&e, n)
	if !w.offer(it, true) {
		it.free()
		if !e.Ends() {
			return u.refuseEvent()
		}
		w.owe(e)
	}
	u.count.events.Add(1)
	return Accepted
}

func (u *Uplink) refuseEvent() Verdict {
	u.count.refusedEvents.Add(1)
	u.settle(1)
	return Refused
}

// size is an upper bound of e's key and value together, where no character has
// to be written as six.
func (e *Event) size() int {
	const fixed = 200 // names, punctuation, session, epoch and time
	return fixed + 2*len(e.Principal) + len(e.Node) + len(e.Reason) + len(e.PushID) + len(e.To) + len(e.Remote)
}

func (u *Uplink) eventItem(e *Event, n int) *item {
	it := newItem(n)
	it.buf = append(it.buf, e.Principal...)
	it.buf = e.appendJSON(it.buf)
	it.session, it.priority = e.Session, session.High
	key := it.buf[:len(e.Principal):len(e.Principal)]
	it.record = kgo.Record{
		Context:   it,
		Topic:     u.cfg.Topics.Events,
		Key:       key,
		Value:     it.buf[len(key):],
		Timestamp: e.At,
	}
	return it
}

// owe keeps an event for which there is no room. A worker that sleeps is woken,
// as by offer: it looks for room until there is some, and perhaps nothing else
// ever comes.
func (w *worker) owe(e Event) {
	w.mu.Lock()
	w.owed = append(w.owed, e)
	wake := w.idle
	w.idle = false
	w.mu.Unlock()
	w.u.count.owedEvents.Add(1)
	if wake {
		w.signal()
	}
}

// takeOwedLocked moves owed events for which there is room to batch, oldest
// first.
func (w *worker) takeOwedLocked(batch []*item) []*item {
	taken := 0
	for i := range w.owed {
		e := &w.owed[i]
		n := e.size()
		if len(batch) == takeLength || !w.u.budget.reserve(session.High, cost(n)) {
			break
		}
		it := w.u.eventItem(e, n)
		it.worker = w
		w.seq++
		it.seq = w.seq
		batch = append(batch, it)
		taken++
	}
	w.u.count.owedEvents.Add(int64(-taken))
	clear(w.owed[:taken])
	if w.owed = w.owed[taken:]; len(w.owed) == 0 {
		w.owed = nil
	}
	return batch
}
