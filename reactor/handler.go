package reactor

import (
	"net/netip"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// Handler is told what happens to sessions. Every method is called on the
// loop that owns the session and must not block, sleep, or take a lock that
// is ever held across I/O: the loop's other sessions wait meanwhile.
type Handler interface {
	// Open decides who the peer is. A refusal is sent as the answer to the
	// upgrade request, and no session begins. Otherwise Message may follow,
	// and Close follows exactly once.
	//
	// Where the decision takes its time, Open sets Opening.Later and has
	// somebody call Engine.Decide. Open is then called once more, on the same
	// loop, with Opening.Verdict set. If the peer goes first, or the time is
	// over, it is not, and nothing has begun that Close would end.
	Open(o *Opening) *wsproto.Refusal

	// Message brings one assembled message. The payload is borrowed until
	// Message returns.
	Message(s Session, op session.Opcode, payload []byte)

	// Close says that the session has ended. Sends to it fail from here on.
	Close(s Session, reason session.CloseReason)
}

// Gate decides over connections as they are accepted, before a byte is read
// but the header of a load balancer. Its methods are called on every loop and
// must not block.
type Gate interface {
	// Source names where a client's address belongs to, by a number that is
	// not 0 and the same at every call.
	Source(client netip.Addr) uint64
	// Admit takes in a connection from a source, or says with which HTTP
	// status to refuse it and when to come back. Where counted is true, Leave
	// follows exactly once.
	Admit(source uint64) (counted bool, status int, retryAfter time.Duration)
	Leave(source uint64)
}

// Preface knows the header that a load balancer puts before what a client
// sends. Its methods are called on every loop and must not block.
type Preface interface {
	// Due reports whether a connection from peer has to begin with a header.
	// From others one is a bad request.
	Due(peer netip.Addr) bool
	// Read looks at the first bytes of a connection. n is the length of the
	// header, or 0 while more of it is to come; it bounds for how much. client
	// is not valid where the peer speaks for itself. The error is told the peer.
	Read(buf []byte) (client netip.AddrPort, n int, err error)
}

// Opening is an upgrade request that is about to become a session.
type Opening struct {
	Request *wsproto.Request // borrowed until Open returns
	Remote  netip.AddrPort   // the client's address, from the load balancer's header where there is one; without a zone, IPv4 as such
	ID      session.ID       // what the session will be called
	Verdict any              // what Engine.Decide was given; nil at the first call

	// The handler's answers.
	Later    bool             // the decision comes through Engine.Decide; only at the first call
	Ref      uint32           // returned by Session.Ref
	Priority session.Priority // of the session
	Expires  time.Time        // when the session is closed with Unauthorized; zero for never
}

// Session is a handle on an open session for code that runs on its loop,
// inside a call of the Handler. It must not be kept.
type Session struct {
	loop *loop
	c    *conn
}

// ID names the session for ever, and on every node.
func (s Session) ID() session.ID { return s.loop.id(s.c) }

// Ref is what Handler.Open put into Opening.Ref.
func (s Session) Ref() uint32 { return s.c.ref }

// Priority is what Handler.Open put into Opening.Priority.
func (s Session) Priority() session.Priority { return s.c.priority }

// Reply sends a message to the session. The payload is copied. What a session
// gets while its loop deals with its input leaves in one write at the end.
func (s Session) Reply(op session.Opcode, payload []byte) { s.loop.reply(s.c, op, payload) }

// Close begins the close handshake: what was sent before arrives first.
func (s Session) Close(reason session.CloseReason) { s.loop.closeWith(s.c, reason, "") }

// Idle is the time since the peer was last heard, to the resolution of the
// loop's tick (200 ms).
func (s Session) Idle() time.Duration {
	return time.Duration(s.loop.wheel.now-s.c.seen) * tick
}
