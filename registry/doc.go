// Package registry knows who is connected where. Table is this node's own
// part of that knowledge: principal to sessions, group to sessions, session
// to principal. The part that all nodes share is a directory in Redis, kept
// by package redisdir below this one, which reads Table and is told of every
// change to it.
//
// # In the way of the data
//
// An event loop calls [Table.Add] when a session opens and [Table.Remove]
// when it has closed; the bridge's workers and the HTTP API look principals
// and groups up. A node without a directory is complete with Table alone.
//
// # Memory
//
// A session costs its block (24 bytes and the principal, rounded up to 4) and
// 4 bytes in an open-addressed index that is between 40 % and 80 % full: about
// 43 bytes with a 12-byte principal. A membership in a group costs 14 bytes.
// Blocks, index segments and pages hold no pointers, so the garbage collector
// has nothing to scan in them; the session's owner keeps a 4-byte [Ref].
// Nothing grows by doubling: chunks are 8 or 16 KiB, and the index splits
// one segment of 2 KiB at a time.
//
// # Threads
//
// Every exported method may be called from any goroutine, event loops
// included. Locks are per shard, held for a few hundred nanoseconds and never
// across I/O. Order of locks: session shard, then group shard, then whatever
// the [Observer] takes.
//
// # Failure
//
// There is none to speak of: Add refuses a bad principal and a table that is
// full. Using a Ref after its Remove is a broken contract and panics.
//
// # Left to others
//
// Closing a displaced session is the caller's work, as is knowing whether a
// session id is still live: the slab of the reactor answers that.
package registry
