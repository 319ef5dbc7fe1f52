// Package embedded is the Kafka broker inside the process: what a node uses
// when no other broker is configured, so that one command is a complete
// gateway.
//
// It speaks the Kafka protocol on loopback, so that any Kafka client can look
// at it, and is built on kfake. It is one broker without replication: its
// promise is that a record it acknowledged survives the end of the process
// (SIGKILL included) when it has a data directory. It does not survive the
// loss of the disk, nor, since writes are left to the page cache, of the
// machine's power.
//
// Threads: kfake runs one goroutine for the broker's state, and three for
// each connection; Broker adds one that applies retention.
//
// Limits: retention is bounded in bytes and in time, for all topics together,
// so that neither the disk nor the memory of a small host fills up. Between
// two passes of retention a topic may exceed its share by what is written
// meanwhile, and by one segment. A partition of a topic that a client creates
// is bounded too, beside that, unless the client says otherwise.
//
// Anybody on the host can connect, and not only with a Kafka client. What is no
// request of Kafka's ends its connection before kfake sees it.
//
// Offsets never go back, also where retention left no record over a restart.
//
// Under failure: a full disk makes produce requests fail; producers retry
// them until there is room again. A data directory with records and without the
// files that name their topics is refused.
package embedded
