package config

import "time"

// Serve is the effective configuration of one gateway process. Every field
// has passed the check of its row in the table, so users need not repeat it.
type Serve struct {
	// Listen is the HOST:PORT on which clients connect; an empty host means
	// every address, port 0 a free port.
	Listen string
	// API is the HOST:PORT of the HTTP API, in the same form.
	API string
	// Node names this gateway among others: 1 to 63 letters, digits, dots,
	// hyphens and underscores. It must be the same after a restart and
	// differ between nodes that share a Redis or a Kafka.
	Node string

	// Uplink is where messages of clients go.
	Uplink Uplink
	// Kafka lists the seed brokers as HOST:PORT. Empty: the embedded broker.
	Kafka []string
	// TopicPrefix is put before the name of every topic.
	TopicPrefix string
	// DataDir is the directory of the embedded broker's log. Empty: memory.
	DataDir string
	// FlushTimeout is how long a drain waits for Kafka to acknowledge what
	// was accepted.
	FlushTimeout time.Duration

	// MaxConns is the number of connections above which newcomers get 503.
	// 0: as many as the limit of open files allows.
	MaxConns int
	// MaxMessageSize is the largest message that a client may send, in
	// bytes, after inflation and over all of its fragments.
	MaxMessageSize int
	// MaxFragments is the number of frames that one message may come in.
	MaxFragments int
	// Subprotocols are the WebSocket subprotocols spoken here, the
	// preferred one first. Empty: none is negotiated.
	Subprotocols []string
	// Deflate offers permessage-deflate (RFC 7692), without context takeover.
	Deflate bool

	// Heartbeat is the silence of a client after which it is pinged.
	Heartbeat time.Duration
	// HeartbeatGrace is the further silence after which it is closed.
	HeartbeatGrace time.Duration
	// HandshakeTimeout bounds the time from accept to the complete request.
	HandshakeTimeout time.Duration
	// MessageTimeout bounds the time from the first byte of a message to its last.
	MessageTimeout time.Duration
	// CloseTimeout bounds the wait for the peer's answer to a close frame.
	CloseTimeout time.Duration

	// OutboundLimit is how many bytes may wait unsent for one client before
	// it counts as a slow consumer.
	OutboundLimit int
	// MailboxMessages and MailboxBytes bound what may wait for one event
	// loop: entries, and bytes of their payloads.
	MailboxMessages int
	MailboxBytes    int

	// Loops is the number of event loops. 0: one for each core, or as many
	// as MaxConns needs where each has a descriptor table of its own.
	Loops int
	// FDTables says whether loops share the process's descriptor table.
	FDTables FDTables
	// DrainWindow is the time over which a drain spreads its closes.
	DrainWindow time.Duration

	// GOGC is the growth of the heap in percent that starts a collection.
	GOGC int
	// MemoryLimit is the soft limit of the Go runtime (GOMEMLIMIT).
	MemoryLimit MemoryLimit

	LogFormat LogFormat
	LogLevel  LogLevel

	// InsecureNoAuth allows addresses that are not loopback although nobody
	// has to authenticate.
	InsecureNoAuth bool
}

// Uplink is where the messages of clients go.
type Uplink string

// The uplinks.
const (
	UplinkKafka   Uplink = "kafka"   // to the topic uplink
	UplinkEcho    Uplink = "echo"    // back to the sender
	UplinkDiscard Uplink = "discard" // nowhere
)

// FDTables says which descriptor table the event loops use.
type FDTables string

// The choices of descriptor tables.
const (
	FDTablesAuto    FDTables = "auto"     // per loop where nofile is too small for MaxConns
	FDTablesShared  FDTables = "shared"   // one for the process; nofile bounds all connections
	FDTablesPerLoop FDTables = "per-loop" // one for each loop; nofile bounds the connections of one loop
)

// LogFormat is the form of the log on standard error.
type LogFormat string

// The log formats.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// LogLevel is the lowest level that is logged.
type LogLevel string

// The log levels.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// MemoryLimit is an amount of memory: Bytes where that is not zero, otherwise
// Percent of what the control group allows, or of the host's memory where no
// control group limits it.
type MemoryLimit struct {
	Bytes   int64
	Percent int
}
