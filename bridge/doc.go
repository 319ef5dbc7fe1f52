// Package bridge carries messages between the sessions of a node and Kafka:
// the uplink from sessions to a topic, and the downlink from topics to
// sessions, wherever in the cluster they are. franz-go is imported here and
// in its sub-packages only; bridge/embedded is the in-process broker,
// bridge/client what the command line uses.
//
// # The way of the data
//
//	event loop ── Uplink.Accept ──► worker's queue ──► TryProduce ──► Kafka `uplink`
//	Kafka `downlink` ── Downlink ──► Router ──► Local (this node's sessions)
//	                                   └──► Bus ──► Router of the node that holds the session
//
// A loop hands a message to the worker that its principal hashes to, so the
// order of a principal's messages is the order in which they were accepted.
// The payload is copied once, into a pooled buffer, which returns to its pool
// when Kafka has acknowledged the record.
//
// # Threads
//
// Accept runs on the event loops: it takes one short lock of one worker, that
// is never held across I/O, and does not allocate in steady state. The workers
// are a fixed pool. franz-go calls back on its own goroutine, one record at a
// time; what runs there only counts, recycles and wakes workers.
//
// # Delivery
//
// What Accept accepted is in Kafka at least once, unless the process dies
// before that: idempotent, acknowledged by all replicas, retried without end.
// Close(ctx) waits for it. Everything between Accept and the acknowledgement
// is inside one budget of bytes; what does not fit is decided by priority (see
// Verdict). The downlink is at most once to a live session; offsets are
// committed only after records were handed on.
//
// # Between nodes
//
// A Router asks its Directory where a principal or group is, and gives what is
// for other nodes to its Bus: KafkaBus, over a partition of the topic inbox for
// each node (inbox.go says who reads which) and the topic broadcast, or PubSubBus,
// which keeps nothing. When the directory cannot say who is where, a push goes to all nodes;
// when the bus does not take that, to the sessions of this one.
//
// # Failure
//
// While Kafka is away the budget fills, then priorities decide. A record that
// Kafka rejects for good (too large) is reported through Config.OnRejected and
// counted. Nothing here waits for a session: a session that does not read is
// the reactor's concern.
package bridge
