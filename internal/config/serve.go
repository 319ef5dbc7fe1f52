package config

import (
	"slices"
	"time"
)

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
	// UplinkWorkers is the number of workers between the event loops and
	// Kafka. 0: one for each core.
	UplinkWorkers int
	// UplinkQueue is how many messages may wait for one worker.
	UplinkQueue int
	// UplinkBuffer bounds the bytes of messages that were accepted and that
	// Kafka has not acknowledged.
	UplinkBuffer int64
	// FlushTimeout is how long a drain waits for Kafka to acknowledge what
	// was accepted.
	FlushTimeout time.Duration

	// Kafka lists the seed brokers as HOST:PORT. Empty: the embedded broker.
	Kafka []string
	// TopicPrefix is put before the name of every topic.
	TopicPrefix string
	// CreateTopics creates topics that are missing, with TopicPartitions
	// partitions, and InboxPartitions for the inbox.
	CreateTopics    bool
	TopicPartitions int
	InboxPartitions int
	// ConsumerGroup is the group of all nodes. Empty: the downlink topic's name.
	ConsumerGroup string
	// GroupTimeout is the silence after which the group gives a node up.
	GroupTimeout time.Duration
	// ProduceTimeout is what a broker has to answer in.
	ProduceTimeout time.Duration
	// Linger is how long a batch waits for more messages. 0: not at all.
	Linger time.Duration
	// Compression is that of batches.
	Compression Compression

	// Redis is the URL of the Redis in which nodes say who is connected where.
	// Empty: this node is alone.
	Redis string
	// RedisExpect is the population of all nodes together, from which the
	// number of buckets follows.
	RedisExpect int
	// RedisLease is the silence of a node after which the others call it dead.
	RedisLease time.Duration
	// RedisTimeout is the deadline of a call to Redis.
	RedisTimeout time.Duration
	// RedisQueue is how many principals and groups may wait to be written.
	RedisQueue int
	// RedisReregister is how many names are written per second when a node
	// registers everything again.
	RedisReregister int

	// BrokerListen is where the embedded broker listens, on 127.0.0.1.
	BrokerListen string
	// DataDir is the directory of the embedded broker's log. Empty: memory.
	DataDir string
	// BrokerSize bounds that log in bytes. 0: the broker's own default.
	BrokerSize int64
	// BrokerRetention is the age at which records leave it.
	BrokerRetention time.Duration

	// MaxConns is the number of connections above which newcomers get 503.
	// 0: as many as the limit of open files allows.
	MaxConns int
	// AcceptRate bounds the new connections per second of the node; ConnsPerIP,
	// RatePerIP and BurstPerIP the connections of one source: at a time, new
	// ones per second, and at once. 0: no limit; for the burst, RatePerIP.
	AcceptRate int
	ConnsPerIP int
	RatePerIP  int
	BurstPerIP int
	// ProxyTrusted lists the networks whose connections begin with a PROXY
	// header. Empty: there are none.
	ProxyTrusted []string
	// SessionsPerPrincipal is how many sessions one principal may have at a
	// time; a further one displaces the oldest.
	SessionsPerPrincipal int
	// GroupsPerSession is how many groups one session may be in.
	GroupsPerSession int
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
	// DeflateMinSize is the size in bytes below which messages are not
	// compressed.
	DeflateMinSize int
	// ControlRate is how many control frames a client may send per second.
	ControlRate int
	// RetryAfter is the hint sent with 503.
	RetryAfter time.Duration

	// Auth lists who decides who a client is, in order. Never empty.
	Auth []string
	// AuthTimeout bounds the time of a decision, AuthWaiting the handshakes
	// that wait for one.
	AuthTimeout time.Duration
	AuthWaiting int
	// JWTSecret, JWTKeys (PEM files) and JWTJWKS (a URL, fetched again after
	// JWTRefresh) verify tokens.
	JWTSecret string
	// JWTSecretOld is another secret that is good, while it is exchanged.
	JWTSecretOld string
	JWTKeys      []string
	JWTJWKS      string
	JWTRefresh   time.Duration
	// JWTIssuer and JWTAudience are what tokens must say. Empty: anything.
	JWTIssuer   string
	JWTAudience string
	// JWTLeeway is how far clocks may differ.
	JWTLeeway time.Duration
	// The names of claims. Empty: not read; for the principal, sub.
	JWTClaimPrincipal string
	JWTClaimGroups    string
	JWTClaimTenant    string
	JWTClaimPriority  string
	JWTClaimMessages  string
	JWTClaimBytes     string
	// The webhook, and what is asked of it.
	WebhookURL         string
	WebhookTimeout     time.Duration
	WebhookConcurrency int
	WebhookRemember    time.Duration
	WebhookFailOpen    bool
	// Origins lists the web origins whose pages may open sessions. Empty:
	// all, except where a browser authenticates by itself.
	Origins []string

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

	// LingerTimeout bounds the wait for a refused client to read the answer.
	LingerTimeout time.Duration

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
	// MemoryBudget is what the process and its sockets in the kernel may take
	// before it refuses and sheds.
	MemoryBudget MemoryLimit
	// ShedRate is how many sessions are shed per second, 1 to 100,000.
	ShedRate int

	LogFormat LogFormat
	LogLevel  LogLevel

	// TraceEndpoint is the URL of a collector of traces. Empty: the one that the
	// OpenTelemetry SDK's environment variables name, if any.
	TraceEndpoint string
	// TraceSample is the share, 0 to 1, of what begins here that is traced.
	TraceSample float64
	// TraceLimit is how many traces are followed per second.
	TraceLimit int
	// TracePrincipals names principals in spans.
	TracePrincipals bool

	Rules

	// InsecureNoAuth allows addresses that are not loopback although nobody
	// has to authenticate.
	InsecureNoAuth bool
}

// Rules are the settings of what becomes of messages and pushes.
type Rules struct {
	// Priority is that of messages for which no rule gives another.
	Priority Priority
	// PriorityRules give messages a priority of their own, in the form of
	// bridge.ParsePriorityRules.
	PriorityRules []string
	// RateMessages and RateBytes are what one session may send per second; 0
	// is no limit. RateBurst is how much of that may come at once.
	RateMessages int
	RateBytes    int
	RateBurst    time.Duration
	// RatePolicy is what becomes of more.
	RatePolicy RatePolicy

	// Events writes what happens to sessions to the topic events, and
	// ReportUndelivered pushes with an id that reached nobody.
	Events            bool
	ReportUndelivered bool
	// DedupWindow is how long the id of a push is remembered; 0 is not at all.
	DedupWindow time.Duration
	// Bus is what carries pushes between nodes.
	Bus Bus
	// BroadcastRate is how many broadcasts a second the API takes.
	BroadcastRate int
	// APIToken is what requests of the API have to show. Empty: nothing.
	APIToken string
}

// RatePolicy says what becomes of a message beyond its session's rates.
type RatePolicy string

// The policies.
const (
	RateClose RatePolicy = "close" // ends the session
	RateDrop  RatePolicy = "drop"  // drops the message, unless its priority is high
)

// Bus is what carries pushes from one node to another.
type Bus string

// The buses.
const (
	BusAuto  Bus = "auto"  // kafka where brokers are given, redis where only that is, local otherwise
	BusKafka Bus = "kafka" // the topics inbox and broadcast
	BusRedis Bus = "redis" // Pub/Sub, which keeps nothing
	BusLocal Bus = "local" // none: this node is alone
)

// BusInUse is Bus, or what auto comes to. A broker inside the process has no
// other node, unless somebody says that it has.
func (s *Serve) BusInUse() Bus {
	switch {
	case s.Bus != BusAuto:
		return s.Bus
	case s.Uplink == UplinkKafka && len(s.Kafka) > 0:
		return BusKafka
	case s.Redis != "":
		return BusRedis
	default:
		return BusLocal
	}
}

// Priority decides what becomes of a message when there is no room for it.
type Priority string

// The priorities.
const (
	PriorityHigh   Priority = "high"   // its session is closed rather than lose it in silence
	PriorityMedium Priority = "medium" // only the latest of its session is kept
	PriorityLow    Priority = "low"    // dropped and counted
)

// Uplink is where the messages of clients go.
type Uplink string

// The uplinks.
const (
	UplinkKafka   Uplink = "kafka"   // to the topic uplink
	UplinkEcho    Uplink = "echo"    // back to the sender
	UplinkDiscard Uplink = "discard" // nowhere
)

// The elements of Serve.Auth.
const (
	AuthNone    = "none" // a client is who it says it is
	AuthJWT     = "jwt"
	AuthWebhook = "webhook"
)

// Authenticates reports whether clients have to show who they are.
func (s *Serve) Authenticates() bool { return !slices.Contains(s.Auth, AuthNone) }

// Compression is that of batches of records.
type Compression string

// The compressions.
const (
	CompressionNone   Compression = "none"
	CompressionSnappy Compression = "snappy"
	CompressionLZ4    Compression = "lz4"
	CompressionZstd   Compression = "zstd"
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
