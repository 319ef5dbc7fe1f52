// Package reactor owns every client socket: accept, upgrade, frames, timers,
// writes and drain, on gnet event loops and without a goroutine, timer,
// channel, closure or buffer per idle connection.
//
// # Place in the way of the data
//
//	socket → loop → wsproto.Decoder → Handler.Message      (inbound)
//	Send, Multicast, Broadcast → mailbox → outbox → socket (outbound)
//
// The reactor does not know what a message is for. A Handler, given by
// whoever builds the node, decides who a peer is and where its messages go.
//
// # Threads
//
// A connection belongs to one loop from accept to close. What a loop owns has
// no locks: slab, wheel, outbox, decoder. Work enters a loop from outside
// through its mailbox alone, which is bounded in entries and bytes. Handler
// methods run on the loop; Engine methods may be called from anywhere. gnet's
// ticker goroutine posts a tick to each loop; one assistant goroutine per
// engine wakes loops that want another turn.
//
// # Where to look
//
//	handler.go     what a node has to answer, and is told
//	engine.go      what may be called from anywhere
//	address.go     the address, held until the loops listen on it
//	slab.go        what is kept for one connection: 48 bytes
//	wheel.go       when to look at which connection
//	timeouts.go    what is found then: every timeout, and the heartbeat
//	handshake.go   from accept to a session
//	preface.go     who the client is, and the gate that asks
//	undecided.go   connections whose authentication is under way
//	loop.go        a loop's own state, its ticks and its input
//	unfinished.go  input that is not complete, beside the slab
//	mailbox.go     the way in from other goroutines
//	frame.go       a message encoded once for all who get it
//	receipt.go     what became of it
//	outbox.go      frames that wait, one write per socket
//	writing.go     writes and the slow-consumer policy
//	closing.go     every way in which a connection ends
//	drain.go       the orderly end of a node
//	pressure.go    how much is held back while memory is short
//	crowd.go       what all sessions hold together, and who goes first
//	shed.go        closing idle sessions at a paced rate
//	fdtable.go     how many descriptors there are, and a table per loop
//
// # Failure
//
// A misbehaving peer is a session.CloseReason, never an error log. A peer that
// does not read is closed once its unsent bytes pass a limit; one that trickles
// costs a slot and its bytes until a deadline. Above the connection limit, which
// lies below RLIMIT_NOFILE, newcomers get 503 with Retry-After, and established
// sessions do not notice. Send to a session that has gone fails or is counted
// as offline; ids are never used twice.
//
// The reactor leaves authentication, routing and what must outlive the process
// to others.
package reactor
