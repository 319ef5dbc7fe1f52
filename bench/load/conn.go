package load

// state of a slot in the slab.
type state uint8

const (
	stateFree       state = iota
	stateConnecting       // connect(2) under way, or the request not yet written
	stateUpgrading        // request written, answer awaited
	stateOpen
)

// conn is one connection. It holds no pointer, so the collector never looks
// at the slab; a test keeps it at 32 bytes.
type conn struct {
	fd    int32
	gen   uint16 // of the slot: an epoll event for an earlier owner is dropped
	state state
	flags connFlags
	skip  uint32 // payload bytes of the present frame still to come
	sent  uint32 // messages of the present traffic
	recv  uint32 // answers to them
	_     uint32
	due   int64 // ns: intended start of the dial, later of the last message
}

type connFlags uint8

const (
	flagSide connFlags = 1 << iota // has an entry in Engine.sides
	flagDeaf                       // does not read
)

const chunkSlots = 4096 // 128 KiB of slab at a time: growing copies nothing

// slab finds connections by slot.
type slab struct {
	chunks [][]conn
	free   []uint32
	used   uint32 // slots ever handed out
}

func (s *slab) at(slot uint32) *conn { return &s.chunks[slot/chunkSlots][slot%chunkSlots] }

func (s *slab) take() (uint32, *conn) {
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		return slot, s.at(slot)
	}
	if s.used%chunkSlots == 0 {
		s.chunks = append(s.chunks, make([]conn, chunkSlots))
	}
	slot := s.used
	s.used++
	return slot, s.at(slot)
}

func (s *slab) put(slot uint32) {
	c := s.at(slot)
	*c = conn{gen: c.gen + 1}
	s.free = append(s.free, slot)
}

// each calls f for every slot that holds a connection.
func (s *slab) each(f func(slot uint32, c *conn)) {
	for slot := range s.used {
		if c := s.at(slot); c.state != stateFree {
			f(slot, c)
		}
	}
}

// side is what a connection needs only while something is unfinished.
type side struct {
	in       []byte  // start of a frame or of the answer, incomplete
	out      []byte  // the part of a frame that the socket did not take
	backlog  []int64 // due times of messages behind out
	stamp    Stamp   // of the message being received
	stamped  bool
	fragment bool // a message without its final frame is under way
	size     int  // of the message so far
}

func (s *side) idle() bool {
	return len(s.in) == 0 && len(s.out) == 0 && len(s.backlog) == 0 && !s.stamped && !s.fragment && s.size == 0
}
