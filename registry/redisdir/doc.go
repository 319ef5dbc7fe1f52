// Package redisdir is the directory that all nodes share: which node holds
// which principal, and which nodes hold members of which group. It stands in
// Redis, and is the only package that imports rueidis.
//
// # In the way of the data
//
// A [Directory] observes its node's registry.Table. A change of a principal
// puts the name into a bounded queue, on the event loop, without blocking; a
// writer reads the table when it sends. So the last write per principal wins,
// and a name costs one entry however often it changes. [Directory.Lookup] and
// [Directory.LookupGroups] answer the bridge's workers in one round trip.
//
// # What stands in Redis
//
// The keys are in keys.go, the values in record.go, the scripts in lua/.
//
// A node has an incarnation: a number that Redis hands out at every start, and
// again whenever the node has lost its lease. Records carry it. A lease,
// lp:node:ID, says that an incarnation is alive; all records of one without a
// lease are dead at once, however many they are. (The 8-byte incarnation in a
// session's id is that of the process. It stays the same when a frozen node
// takes a new number, because its sessions are still the same ones.)
//
// An epoch is a time, of Redis' clock, at which a session was added to its
// table. So epochs grow with every session of a principal on whatever node,
// after a restart of every gateway and after a restart of Redis. A node whose
// clock was ahead before it met Redis moves the epochs of all nodes forward
// rather than let them turn back (lua/enroll.lua).
//
// # What keeps it true
//
//   - Compare-and-set: the record with the greater epoch stays, in any order of
//     arrival (lua/put.lua).
//   - A deadline in every write, by the server's clock: a write that its sender
//     has given up cannot happen later. The same names are not written again
//     before that moment, so writes of one name never overtake each other.
//   - A node stops writing so long before its lease ends that its last write is
//     done or refused before anyone can call it dead.
//   - A resync after every fault (Redis was away, a master is new, the lease was
//     lost, the queue ran over) and every few minutes as an audit: all that
//     waits is sent, the whole table is written again at a limited rate, and
//     entries that the table does not know are removed.
//
// # Threads
//
// Run starts one goroutine for the lease, one for the view of other nodes, one
// that clears up after dead ones, one for notices, one for resyncs, and
// Config.Writers that write. Each method says who may call it.
//
// # Failure
//
// Every call has a deadline. When more than a tenth of the calls of the last
// two and a half seconds have failed, the node works from its own table alone:
// lookups fail with [ErrDegraded] at once, changes wait in the queue, and
// Redis is probed. After three good probes in a row it joins again and
// resyncs. The clocks of several Redis masters must agree within
// Config.ClockSlack.
//
// A Redis that has been away, or has lost what it had, does not know who is
// connected until all nodes have registered everything again:
// [Directory.Filling] says so (refill.go).
//
// A node that was cut off from Redis for longer than its lease counts as dead
// for the others, and they report its sessions as lost, though its clients may
// still be attached. When it is back it registers them again, with the epochs
// they had.
//
// # Displacement across nodes
//
// When a write pushes out a record of another node, the writer puts a notice
// on that node's list in Redis, and the node reads it within Config.Poll
// (notices.go). It needs no Kafka. A notice that finds its node dead, or waits for
// a dead node, makes the session reported as lost (orphans.go).
//
// # Inboxes
//
// Where nodes reach each other through Kafka, each leases one partition of a
// topic along with its incarnation (inbox.go, lua/inbox.lua), and
// [Directory.InboxOf] says whose is which without a round trip.
//
// # Pub/Sub
//
// [PubSub] has nothing to do with the directory: it carries pushes between nodes
// that share no Kafka. It is here because rueidis is.
//
// # Left to others
//
// Closing sessions (Config.Displaced), emitting events (Config.Lost), and
// routing messages to the nodes that a lookup names.
package redisdir
