package reactor

// waiting is one frame that one connection is to get. Nodes live in a per-loop
// arena and are linked by index, so queueing a frame for 10,000 sessions
// allocates nothing per session.
type waiting struct {
	frame *frame
	next  uint32 // 0 ends the list; node 0 is never used
}

// outbox holds what the mailbox brought for a loop's sockets until it is
// written. A send costs 9 to 11 µs of kernel time whatever its size, so the
// loop first empties its mailbox and then writes once per socket: all frames
// that a socket has waiting leave in one write.
type outbox struct {
	nodes []waiting
	free  uint32
	dirty []uint32 // slots with something waiting, in order of arrival
	head  int      // first of dirty that has not been flushed
	count int      // frames waiting, those that several sockets share counted for each
	taken int      // bytes of the mails since the outbox was empty, each counted once
	bytes int      // waiting, for the memory ledger
	peak  int      // most sockets of one fan-out since the last trim
}

func (o *outbox) init() { *o = outbox{nodes: make([]waiting, 1, 64)} }

// queue appends f to what c has waiting.
func (o *outbox) queue(c *conn, f *frame) {
	n := o.free
	if n != 0 {
		o.free = o.nodes[n].next
		o.nodes[n] = waiting{frame: f}
	} else {
		n = uint32(len(o.nodes))
		o.nodes = append(o.nodes, waiting{frame: f})
	}
	if c.outHead == 0 {
		c.outHead = n
	} else {
		o.nodes[c.outTail].next = n
	}
	c.outTail = n
	o.count++
	o.bytes += len(f.plain)
	if !c.is(flagQueued) {
		c.set(flagQueued)
		o.dirty = append(o.dirty, c.slot)
	}
}

// pop takes the first frame that c has waiting, or nil.
func (o *outbox) pop(c *conn) *frame {
	n := c.outHead
	if n == 0 {
		return nil
	}
	f := o.nodes[n].frame
	c.outHead = o.nodes[n].next
	o.nodes[n] = waiting{next: o.free}
	o.free = n
	o.count--
	o.bytes -= len(f.plain)
	return f
}

// drop forgets what c has waiting and returns how many frames that were.
func (o *outbox) drop(c *conn) (frames int) {
	for o.pop(c) != nil {
		frames++
	}
	return frames
}

// nextDirty returns the next slot to flush. A slot whose owner changed since
// it was queued is returned too; its present owner has then nothing waiting,
// or is due for a flush anyway.
func (o *outbox) nextDirty() (slot uint32, ok bool) {
	if o.head == len(o.dirty) {
		o.reset()
		return 0, false
	}
	if o.head >= 4096 && o.head > len(o.dirty)/2 { // under steady load it is never empty
		o.peak = max(o.peak, len(o.dirty))
		o.head, o.dirty = 0, o.dirty[:copy(o.dirty, o.dirty[o.head:])]
	}
	slot = o.dirty[o.head]
	o.head++
	return slot, true
}

func (o *outbox) pending() bool { return o.head < len(o.dirty) }

// full tells that no more mail is to be dealt with before sockets are written to.
// One mail always fits into an empty outbox, for however many sessions it is.
func (o *outbox) full(maxBytes int) bool {
	return o.pending() && (o.count >= maxWaiting || o.taken >= maxBytes)
}

// reset forgets the order of a fan-out that is written; nothing is waiting.
func (o *outbox) reset() {
	o.peak = max(o.peak, len(o.dirty))
	o.head, o.dirty = 0, o.dirty[:0]
	o.taken = 0
}

// trim lets go of the arena that a large fan-out has stretched, unless another
// one came since the trim before. Called every few seconds.
func (o *outbox) trim() {
	if o.peak == 0 && !o.pending() && len(o.dirty) == 0 && o.bytes == 0 && cap(o.nodes) > 256 {
		o.init()
	}
	o.peak = 0
}
