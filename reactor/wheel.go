package reactor

// wheelSize is the number of buckets: 512 ticks of 200 ms are 102 s. What is
// due later is looked at once per turn and put back.
const wheelSize = 512

// wheel is one loop's lazy timing wheel. A connection is in at most one
// bucket, a doubly linked list by slot; hearing from a peer only writes
// conn.seen, and the wheel finds out when the old deadline comes around. So
// an inbound byte costs one store, and a million idle sessions cost one look
// per heartbeat each.
//
// It knows ticks, not time, so tests drive it by hand. Tick 0 means "in no
// bucket"; the first tick is 1, and the count wraps after 27 years.
type wheel struct {
	slab    *slab
	now     uint32
	buckets [wheelSize]uint32 // first slot, or noSlot
}

func (w *wheel) init(s *slab) {
	w.slab = s
	for i := range w.buckets {
		w.buckets[i] = noSlot
	}
}

// schedule puts c into the bucket of tick due, which must not lie in the
// past; it leaves the bucket that c was in.
func (w *wheel) schedule(c *conn, due uint32) {
	if c.due != 0 {
		w.remove(c)
	}
	if int32(due-w.now) <= 0 {
		due = w.now + 1
	}
	if due-w.now >= wheelSize {
		due = w.now + wheelSize - 1
	}
	head := &w.buckets[due%wheelSize]
	c.due, c.prev, c.next = due, noSlot, *head
	if *head != noSlot {
		w.slab.bySlot(*head).prev = c.slot
	}
	*head = c.slot
}

// sooner schedules c at due unless it is looked at earlier anyway.
func (w *wheel) sooner(c *conn, due uint32) {
	if c.due == 0 || int32(c.due-due) > 0 {
		w.schedule(c, due)
	}
}

// remove takes c out of its bucket, if it is in one.
func (w *wheel) remove(c *conn) {
	if c.due == 0 {
		return
	}
	if c.prev == noSlot {
		w.buckets[c.due%wheelSize] = c.next
	} else {
		w.slab.bySlot(c.prev).next = c.next
	}
	if c.next != noSlot {
		w.slab.bySlot(c.next).prev = c.prev
	}
	c.due, c.prev, c.next = 0, noSlot, noSlot
}

// skip moves time on by a gap that counts for nobody: whoever was due so many
// ticks ahead still is.
func (w *wheel) skip(gap uint32) {
	w.init(w.slab)
	w.now += gap
	for i := range w.slab.size() {
		if c := w.slab.at(i); c.due != 0 {
			due := c.due + gap
			c.due = 0 // it is in no bucket
			w.schedule(c, due)
		}
	}
}

// advance moves time on by one tick and hands every connection that is due to
// look, which schedules it again or ends it. A connection may remove itself
// or others while the bucket is emptied.
func (w *wheel) advance(look func(*conn)) {
	w.now++
	head := &w.buckets[w.now%wheelSize]
	for *head != noSlot {
		c := w.slab.bySlot(*head)
		w.remove(c)
		look(c)
	}
}
