package reactor

import (
	"math/bits"

	"github.com/panjf2000/gnet/v2"

	"github.com/limpet-gateway/limpet/internal/session"
)

// A slot number names a place in a node's slabs:
//
//	31                     8+b         8 7             0
//	|   chunk of the loop    |   loop   | place in chunk |
//	       24-b bits            b bits        8 bits
//
// b is just wide enough for the engine's loops, so that numbers stay as small as
// there are sessions: a directory writes them in as few bytes as they need,
// and a million sessions take three, on however many loops. Chunks rather than
// places alternate between loops, so that neighbours in a table by slot belong
// to one loop and its core.
const (
	placeBits = 8
	chunkSize = 1 << placeBits // connections that one allocation of the slab holds
	placeMask = chunkSize - 1
	loopBits  = 8 // the most
	maxLoops  = 1 << loopBits
	maxChunks = 1<<(32-placeBits-loopBits) - 1 // of one loop; the last number is noSlot
)

// numbering is how slot numbers name loops.
type numbering struct {
	loopMask uint32
	shift    uint8 // of the chunk's number
}

func numberingFor(loops int) numbering {
	b := bits.Len(uint(loops - 1))
	return numbering{loopMask: 1<<b - 1, shift: uint8(placeBits + b)}
}

// loop returns the number of the loop that slot belongs to.
func (n numbering) loop(slot uint32) uint32 { return slot >> placeBits & n.loopMask }

// chunk returns the number that slot's chunk has in its loop.
func (n numbering) chunk(slot uint32) uint32 { return slot >> (n.shift & 31) }

// first returns the slot at which a chunk of a loop begins.
func (n numbering) first(loop, chunk uint32) uint32 {
	return chunk<<(n.shift&31) | loop<<placeBits
}

// state is where a connection is in its life.
type state uint8

const (
	free        state = iota
	handshaking       // waiting for a complete upgrade request
	undecided         // the handler has put its decision off
	open              // a session
	closing           // we sent a close frame and wait for the peer's
	lingering         // everything is said; inbound bytes are discarded until the peer closes

	states = iota // how many there are
)

// flags of a connection.
const (
	flagDeflate = 1 << iota // permessage-deflate was negotiated
	flagPinged              // a heartbeat ping is unanswered
	flagQueued              // in the loop's dirty list
	flagSession             // the handler was told of it and must be told of its end
	flagCounted             // it holds a place below the connection limit
	flagGated               // the gate has counted it and must be told of its end
	flagUnsent              // in the loop's list of those with unsent bytes
	flagPreface             // a load balancer's header is to come before anything else
)

// conn is all that limpet itself keeps for one connection, beside what gnet
// and the kernel keep: 48 bytes without pointers, so the garbage collector
// never looks inside a chunk. Only the connection's loop touches it.
type conn struct {
	slot    uint32 // its own number
	gen     uint32 // of the slot, as in session.ID
	next    uint32 // in its wheel bucket, or in the free list
	prev    uint32 // in its wheel bucket
	due     uint32 // tick at which the wheel looks at it
	seen    uint32 // tick of the last inbound byte
	ref     uint32 // the handler's own
	partial uint32 // unfinished input, 0 for none
	outHead uint32 // first waiting frame, 0 for none
	outTail uint32 // last waiting frame

	controls    uint16 // control frames received in the second below
	controlsSec uint16
	state       state
	flags       uint8
	priority    session.Priority
	reason      session.CloseReason // once closing
}

const noSlot = ^uint32(0)

func (c *conn) is(flag uint8) bool { return c.flags&flag != 0 }
func (c *conn) set(flag uint8)     { c.flags |= flag }
func (c *conn) clear(flag uint8)   { c.flags &^= flag }

// chunk is what the slab grows by: 12 KiB of state and 4 KiB of socket
// references, so a loop with few connections stays small.
type chunk struct {
	conns   *[chunkSize]conn
	sockets *[chunkSize]gnet.Conn
	// expiry holds the tick at which a session ends, 0 for never. It comes
	// into being with the chunk's first session that has one, so sessions
	// without pay nothing, the others 4 bytes.
	expiry *[chunkSize]uint32
	// source holds what the gate calls the client behind a load balancer, 0
	// where the socket's own address tells. As expiry, it is there only where
	// it is needed: 8 bytes a session behind a load balancer.
	source *[chunkSize]uint64
}

// slab holds a loop's connections. Chunks never move, so a *conn stays valid
// and can be the context of a gnet connection without an allocation.
type slab struct {
	numbering
	number uint32 // the loop's
	chunks []chunk
	free   uint32 // head of the free list
	used   int

	expiries int // chunks with an expiry
	sources  int // chunks with a source
}

func newSlab(loop int, n numbering) slab {
	return slab{numbering: n, number: uint32(loop), free: noSlot}
}

// take returns a free connection with its generation moved on, or nil when
// the loop's numbers are used up.
func (s *slab) take(socket gnet.Conn) *conn {
	if s.free == noSlot && !s.grow() {
		return nil
	}
	slot := s.free
	c := s.bySlot(slot)
	s.free = c.next
	gen := c.gen + 1
	if gen == 0 { // 0 is no session; after 4 billion owners of one slot
		gen = 1
	}
	*c = conn{slot: slot, gen: gen, next: noSlot, prev: noSlot}
	s.chunkOf(c).sockets[slot&placeMask] = socket
	s.used++
	return c
}

func (s *slab) grow() bool {
	if len(s.chunks) >= maxChunks {
		return false
	}
	first := s.first(s.number, uint32(len(s.chunks)))
	ch := chunk{conns: new([chunkSize]conn), sockets: new([chunkSize]gnet.Conn)}
	for i := range ch.conns {
		ch.conns[i].next = first + uint32(i) + 1
	}
	ch.conns[chunkSize-1].next = noSlot
	s.chunks = append(s.chunks, ch)
	s.free = first
	return true
}

// put frees c. Freed places are used again last in, first out, which keeps
// the touched part of the slab small.
func (s *slab) put(c *conn) {
	place, ch := c.slot&placeMask, s.chunkOf(c)
	ch.sockets[place] = nil
	if ch.expiry != nil {
		ch.expiry[place] = 0
	}
	if ch.source != nil {
		ch.source[place] = 0
	}
	c.state, c.flags = free, 0
	c.next = s.free
	s.free = c.slot
	s.used--
}

// at returns the connection at index, of all places from 0 to size.
func (s *slab) at(index uint32) *conn { return &s.chunks[index/chunkSize].conns[index%chunkSize] }

func (s *slab) bySlot(slot uint32) *conn { return &s.chunks[s.chunk(slot)].conns[slot&placeMask] }

func (s *slab) chunkOf(c *conn) *chunk { return &s.chunks[s.chunk(c.slot)] }

func (s *slab) socket(c *conn) gnet.Conn {
	return s.chunkOf(c).sockets[c.slot&placeMask]
}

// expiry is the tick at which c ends, 0 for never.
func (s *slab) expiry(c *conn) uint32 {
	if all := s.chunkOf(c).expiry; all != nil {
		return all[c.slot&placeMask]
	}
	return 0
}

// setExpiry makes c end at a tick, or never for 0.
func (s *slab) setExpiry(c *conn, due uint32) {
	place, ch := c.slot&placeMask, s.chunkOf(c)
	if ch.expiry == nil {
		if due == 0 {
			return
		}
		ch.expiry = new([chunkSize]uint32)
		s.expiries++
	}
	ch.expiry[place] = due
}

// source is what the gate calls the client of c, 0 if the socket tells.
func (s *slab) source(c *conn) uint64 {
	if all := s.chunkOf(c).source; all != nil {
		return all[c.slot&placeMask]
	}
	return 0
}

func (s *slab) setSource(c *conn, source uint64) {
	place, ch := c.slot&placeMask, s.chunkOf(c)
	if ch.source == nil {
		ch.source = new([chunkSize]uint64)
		s.sources++
	}
	ch.source[place] = source
}

// find returns the connection that slot and gen name, or nil when it has gone.
func (s *slab) find(slot, gen uint32) *conn {
	if int(s.chunk(slot)) >= len(s.chunks) {
		return nil
	}
	if c := s.bySlot(slot); c.gen == gen && c.state != free {
		return c
	}
	return nil
}

// size is the number of places, used or free, so that indexes below it are valid.
func (s *slab) size() uint32 { return uint32(len(s.chunks) * chunkSize) }
