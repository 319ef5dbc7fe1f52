package reactor

import (
	"github.com/panjf2000/gnet/v2"

	"github.com/limpet-gateway/limpet/internal/session"
)

// A slot number names a place in a node's slabs:
//
//	31        24 23                    0
//	|   loop    |   index in the loop   |
//	   8 bits            24 bits
const (
	indexBits = 24
	loopBits  = 32 - indexBits
	indexMask = 1<<indexBits - 1
)

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

// chunkSize is how many connections one allocation of the slab holds: 12 KiB
// of state and 4 KiB of socket references, so a loop with few connections
// stays small.
const chunkSize = 256

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
	base   uint32 // the loop's number, shifted
	chunks []chunk
	free   uint32 // head of the free list, by index
	used   int

	expiries int // chunks with an expiry
	sources  int // chunks with a source
}

func newSlab(loop int) slab { return slab{base: uint32(loop) << indexBits, free: noSlot} }

// take returns a free connection with its generation moved on, or nil when
// the loop's index space is used up.
func (s *slab) take(socket gnet.Conn) *conn {
	if s.free == noSlot && !s.grow() {
		return nil
	}
	index := s.free
	c := s.at(index)
	s.free = c.next
	gen := c.gen + 1
	if gen == 0 { // 0 is no session; after 4 billion owners of one slot
		gen = 1
	}
	*c = conn{slot: s.base | index, gen: gen, next: noSlot, prev: noSlot}
	s.chunks[index/chunkSize].sockets[index%chunkSize] = socket
	s.used++
	return c
}

func (s *slab) grow() bool {
	first := uint32(len(s.chunks) * chunkSize)
	if first >= maxPerLoop {
		return false
	}
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
	index := c.slot & indexMask
	ch := &s.chunks[index/chunkSize]
	ch.sockets[index%chunkSize] = nil
	if ch.expiry != nil {
		ch.expiry[index%chunkSize] = 0
	}
	if ch.source != nil {
		ch.source[index%chunkSize] = 0
	}
	c.state, c.flags = free, 0
	c.next = s.free
	s.free = index
	s.used--
}

func (s *slab) at(index uint32) *conn { return &s.chunks[index/chunkSize].conns[index%chunkSize] }

func (s *slab) bySlot(slot uint32) *conn { return s.at(slot & indexMask) }

func (s *slab) socket(c *conn) gnet.Conn {
	index := c.slot & indexMask
	return s.chunks[index/chunkSize].sockets[index%chunkSize]
}

// expiry is the tick at which c ends, 0 for never.
func (s *slab) expiry(c *conn) uint32 {
	index := c.slot & indexMask
	if all := s.chunks[index/chunkSize].expiry; all != nil {
		return all[index%chunkSize]
	}
	return 0
}

// setExpiry makes c end at a tick, or never for 0.
func (s *slab) setExpiry(c *conn, due uint32) {
	index := c.slot & indexMask
	ch := &s.chunks[index/chunkSize]
	if ch.expiry == nil {
		if due == 0 {
			return
		}
		ch.expiry = new([chunkSize]uint32)
		s.expiries++
	}
	ch.expiry[index%chunkSize] = due
}

// source is what the gate calls the client of c, 0 if the socket tells.
func (s *slab) source(c *conn) uint64 {
	index := c.slot & indexMask
	if all := s.chunks[index/chunkSize].source; all != nil {
		return all[index%chunkSize]
	}
	return 0
}

func (s *slab) setSource(c *conn, source uint64) {
	index := c.slot & indexMask
	ch := &s.chunks[index/chunkSize]
	if ch.source == nil {
		ch.source = new([chunkSize]uint64)
		s.sources++
	}
	ch.source[index%chunkSize] = source
}

// find returns the connection that slot and gen name, or nil when it has gone.
func (s *slab) find(slot, gen uint32) *conn {
	index := slot & indexMask
	if int(index) >= len(s.chunks)*chunkSize {
		return nil
	}
	if c := s.at(index); c.gen == gen && c.state != free {
		return c
	}
	return nil
}

// size is the number of places, used or free, so that indexes below it are valid.
func (s *slab) size() uint32 { return uint32(len(s.chunks) * chunkSize) }
