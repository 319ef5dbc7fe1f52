// Package load is the client side of a benchmark: it opens WebSocket
// connections in great number, keeps them, and drives messages over them at
// a cost that stays well below that of any server under test.
//
// # Way of the data
//
//	Fleet (parent process) ── JSON lines over stdin/stdout ──► Worker (child process)
//	                                                             └─ Engine: one epoll loop on one thread
//
// An Engine owns raw non-blocking sockets. A connection is a 32-byte entry in
// a pointer-free slab: no goroutine, no timer, and no buffer unless a frame
// arrived in pieces or a write fell short. A Fleet splits the work over as
// many worker processes as the descriptor limit or the cores call for, and
// merges what they report. All processes share CLOCK_MONOTONIC, so a time
// stamped by one can be read by another.
//
// # Threads
//
// Everything in an Engine runs on the goroutine that called Run, locked to
// its thread, except Do, which may be called from anywhere. A Fleet is safe
// for concurrent use.
//
// # Failure
//
// A failed connection is counted by kind and never retried in silence; a
// latency is measured from the time at which a message was meant to be sent,
// so that a server that stalls, or a client that lags, shows in it.
package load
