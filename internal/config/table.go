package config

// Key is one row of the configuration table.
type Key struct {
	Name    string // flag --name, line name: of the file; LIMPET_NAME in the environment
	Section string // heading under which help and documents list it
	Default string // in the form that a user would write; "" for an empty list or text
	// DefaultNote says in words what the default is where the value does not.
	DefaultNote string
	Help        string // what it means, with its effect when a limit is reached
	Secret      bool   // never printed, neither in the effective configuration nor in a fault

	bind func(*Serve) value // its field, with the check
}

// Bounds that several rows share.
const (
	maxConns        = 1 << 24  // session slots are numbered with fewer bits than a uint32 has, and no host holds more
	maxMessageBytes = 64 << 20 // a message is assembled in memory: more belongs in an object store
)

// keys is the configuration table, in the order of the documents.
var keys = []Key{
	{Name: "listen", Section: "Addresses", Default: "127.0.0.1:8080",
		Help: "address on which WebSocket clients connect (path /ws)",
		bind: func(c *Serve) value { return address(&c.Listen) }},
	{Name: "api", Section: "Addresses", Default: "127.0.0.1:8081",
		Help: "address of the HTTP API: health, readiness, information",
		bind: func(c *Serve) value { return address(&c.API) }},
	{Name: "node", Section: "Addresses", DefaultNote: "the host's name",
		Help: "name of this gateway among others; stays the same over restarts, differs between nodes",
		bind: func(c *Serve) value { return nodeID(&c.Node) }},

	{Name: "uplink", Section: "Messages", Default: "kafka",
		Help: "where messages of clients go: to Kafka, back to the sender, or nowhere",
		bind: func(c *Serve) value {
			return oneOf(&c.Uplink, UplinkKafka, UplinkEcho, UplinkDiscard)
		}},
	{Name: "uplink-workers", Section: "Messages", Default: "0", DefaultNote: "one for each core",
		Help: "workers between the event loops and Kafka; each principal has one",
		bind: func(c *Serve) value { return intIn(&c.UplinkWorkers, 0, 256) }},
	{Name: "uplink-queue", Section: "Messages", Default: "16384",
		Help: "messages that may wait for one worker; above, they are refused by priority",
		bind: func(c *Serve) value { return intIn(&c.UplinkQueue, 16, 1<<20) }},
	{Name: "uplink-buffer", Section: "Messages", Default: "64MiB",
		Help: "memory of messages that Kafka has not acknowledged; above, they are refused by priority",
		bind: func(c *Serve) value { return sizeIn(&c.UplinkBuffer, 1<<20, 64<<30) }},
	{Name: "flush-timeout", Section: "Messages", Default: "10s",
		Help: "how long a drain waits for Kafka to acknowledge what was accepted",
		bind: func(c *Serve) value { return durationIn(&c.FlushTimeout, "100ms", "10m") }},

	{Name: "kafka", Section: "Kafka", DefaultNote: "the embedded broker",
		Help: "brokers to start from",
		bind: func(c *Serve) value { return addressList(&c.Kafka) }},
	{Name: "topic-prefix", Section: "Kafka", Default: "limpet.",
		Help: "put before the name of every topic",
		bind: func(c *Serve) value { return topicName(&c.TopicPrefix) }},
	{Name: "create-topics", Section: "Kafka", Default: "true",
		Help: "create topics that are missing; false refuses to start without them",
		bind: func(c *Serve) value { return boolean(&c.CreateTopics) }},
	{Name: "topic-partitions", Section: "Kafka", Default: "12",
		Help: "partitions of the topics uplink, events and downlink, where they are created",
		bind: func(c *Serve) value { return intIn(&c.TopicPartitions, 1, 10000) }},
	{Name: "inbox-partitions", Section: "Kafka", Default: "64",
		Help: "partitions of the topic inbox, where it is created; bounds the number of nodes",
		bind: func(c *Serve) value { return intIn(&c.InboxPartitions, 1, 10000) }},
	{Name: "consumer-group", Section: "Kafka", DefaultNote: "the name of the topic downlink",
		Help: "consumer group of all nodes for the topic downlink",
		bind: func(c *Serve) value { return topicName(&c.ConsumerGroup) }},
	{Name: "group-timeout", Section: "Kafka", Default: "10s",
		Help: "silence of a node after which the consumer group goes on without it",
		bind: func(c *Serve) value { return durationIn(&c.GroupTimeout, "1s", "5m") }},
	{Name: "produce-timeout", Section: "Kafka", Default: "2s",
		Help: "time that a broker has to answer before the request is repeated",
		bind: func(c *Serve) value { return durationIn(&c.ProduceTimeout, "100ms", "1m") }},
	{Name: "linger", Section: "Kafka", Default: "5ms",
		Help: "time that a batch waits for more messages",
		bind: func(c *Serve) value { return durationIn(&c.Linger, "0s", "1s") }},
	{Name: "compression", Section: "Kafka", Default: "none",
		Help: "of batches",
		bind: func(c *Serve) value {
			return oneOf(&c.Compression, CompressionNone, CompressionSnappy, CompressionLZ4, CompressionZstd)
		}},

	{Name: "broker-listen", Section: "Embedded broker", Default: "127.0.0.1:0",
		Help: "address of the embedded broker, on 127.0.0.1; port 0 is a free one",
		bind: func(c *Serve) value { return localAddress(&c.BrokerListen) }},
	{Name: "data-dir", Section: "Embedded broker", DefaultNote: "in memory, gone at the end",
		Help: "directory in which the embedded broker keeps its log",
		bind: func(c *Serve) value { return path(&c.DataDir) }},
	{Name: "broker-size", Section: "Embedded broker", Default: "0B", DefaultNote: "128MiB in memory, 1GiB on disk",
		Help: "bound of the embedded broker's log; the oldest records go first",
		bind: func(c *Serve) value { return zeroOr(sizeIn(&c.BrokerSize, 8<<20, 1<<40), "0B") }},
	{Name: "broker-retention", Section: "Embedded broker", Default: "24h",
		Help: "age at which records leave the embedded broker's log",
		bind: func(c *Serve) value { return durationIn(&c.BrokerRetention, "1s", "8760h") }},

	{Name: "priority", Section: "Messages", Default: "high",
		Help: "priority of messages for which there is no room: high closes the session with 1013, medium keeps the latest of the session, low is dropped",
		bind: func(c *Serve) value {
			return oneOf(&c.Priority, PriorityHigh, PriorityMedium, PriorityLow)
		}},
	{Name: "priority-rules", Section: "Messages", DefaultNote: "none",
		Help: "give messages a priority of their own: prefix:TEXT=PRIORITY for those that begin with TEXT, json:FIELD for one that a JSON object names",
		bind: func(c *Serve) value { return priorityRules(&c.PriorityRules) }},
	{Name: "rate-messages", Section: "Messages", Default: "0", DefaultNote: "no limit",
		Help: "messages per second of one session; more close it with 1008",
		bind: func(c *Serve) value { return intIn(&c.RateMessages, 0, 1<<20) }},
	{Name: "rate-bytes", Section: "Messages", Default: "0B", DefaultNote: "no limit",
		Help: "bytes of messages per second of one session; more close it with 1008",
		bind: func(c *Serve) value { return zeroOr(sizeIn(&c.RateBytes, 1, 1<<30), "0B") }},
	{Name: "rate-burst", Section: "Messages", Default: "2s",
		Help: "how much of these rates may come at once, as the time that it would take",
		bind: func(c *Serve) value { return durationIn(&c.RateBurst, "100ms", "1h") }},
	{Name: "events", Section: "Messages", Default: "true",
		Help: "write connected, disconnected, displaced and lost to the topic events",
		bind: func(c *Serve) value { return boolean(&c.Events) }},
	{Name: "report-undelivered", Section: "Messages", Default: "false",
		Help: "write pushes with an id that reached nobody to the topic events",
		bind: func(c *Serve) value { return boolean(&c.ReportUndelivered) }},
	{Name: "dedup-window", Section: "Messages", Default: "2m",
		Help: "how long a push's id is remembered, so that a second one is not delivered; 0s is not at all",
		bind: func(c *Serve) value { return durationIn(&c.DedupWindow, "0s", "1h") }},
	{Name: "bus", Section: "Messages", Default: "auto", DefaultNote: "kafka where brokers are given, local otherwise",
		Help: "what carries pushes between nodes; local is for a node that is alone",
		bind: func(c *Serve) value { return oneOf(&c.Bus, BusAuto, BusKafka, BusLocal) }},
	{Name: "broadcast-rate", Section: "Messages", Default: "10",
		Help: "broadcasts per second that the API takes; more get 429",
		bind: func(c *Serve) value { return intIn(&c.BroadcastRate, 1, 1<<20) }},

	{Name: "max-conns", Section: "Connections", Default: "0", DefaultNote: "what the limit of open files allows",
		Help: "connections above which newcomers get 503 with Retry-After",
		bind: func(c *Serve) value { return intIn(&c.MaxConns, 0, maxConns) }},
	{Name: "sessions-per-principal", Section: "Connections", Default: "1",
		Help: "sessions that one principal may have at a time; a further one displaces the oldest, which is closed with 4001",
		bind: func(c *Serve) value { return intIn(&c.SessionsPerPrincipal, 1, 64) }},
	{Name: "groups-per-session", Section: "Connections", Default: "64",
		Help: "groups that one session may be in",
		bind: func(c *Serve) value { return intIn(&c.GroupsPerSession, 1, 1024) }},
	{Name: "max-message-size", Section: "Connections", Default: "64KiB",
		Help: "largest message of a client, inflated, over all fragments; a larger one closes with 1009",
		bind: func(c *Serve) value { return sizeIn(&c.MaxMessageSize, 128, maxMessageBytes) }},
	{Name: "max-fragments", Section: "Connections", Default: "1024",
		Help: "frames in which one message may come; more close with 1009",
		bind: func(c *Serve) value { return intIn(&c.MaxFragments, 1, 1<<20) }},
	{Name: "subprotocols", Section: "Connections", DefaultNote: "none",
		Help: "WebSocket subprotocols spoken here, the preferred one first",
		bind: func(c *Serve) value { return tokenList(&c.Subprotocols) }},
	{Name: "deflate", Section: "Connections", Default: "true",
		Help: "offer permessage-deflate, without context takeover",
		bind: func(c *Serve) value { return boolean(&c.Deflate) }},
	{Name: "deflate-min-size", Section: "Connections", Default: "256B",
		Help: "shorter messages are sent as they are",
		bind: func(c *Serve) value { return sizeIn(&c.DeflateMinSize, 1, maxMessageBytes) }},
	{Name: "control-rate", Section: "Connections", Default: "100",
		Help: "control frames (ping, pong) that a client may send per second; more close with 1008",
		bind: func(c *Serve) value { return intIn(&c.ControlRate, 1, 1<<20) }},
	{Name: "retry-after", Section: "Connections", Default: "5s",
		Help: "hint of when to come back, sent with 503",
		bind: func(c *Serve) value { return durationIn(&c.RetryAfter, "1s", "1h") }},
	{Name: "outbound-limit", Section: "Connections", Default: "256KiB",
		Help: "bytes that may wait unsent for one client; above, low priority is dropped, then it is closed with 1013",
		bind: func(c *Serve) value { return sizeIn(&c.OutboundLimit, 4<<10, 1<<30) }},

	{Name: "heartbeat", Section: "Time limits", Default: "25s",
		Help: "silence of a client after which it is pinged; below the idle timeout of proxies, often 30s",
		bind: func(c *Serve) value { return durationIn(&c.Heartbeat, "1s", "1h") }},
	{Name: "heartbeat-grace", Section: "Time limits", Default: "15s",
		Help: "further silence after which it is closed",
		bind: func(c *Serve) value { return durationIn(&c.HeartbeatGrace, "1s", "10m") }},
	{Name: "handshake-timeout", Section: "Time limits", Default: "10s",
		Help: "from accept to the complete upgrade request; the socket is closed",
		bind: func(c *Serve) value { return durationIn(&c.HandshakeTimeout, "1s", "5m") }},
	{Name: "message-timeout", Section: "Time limits", Default: "30s",
		Help: "from the first byte of a message to its last; closes with 1008",
		bind: func(c *Serve) value { return durationIn(&c.MessageTimeout, "1s", "10m") }},
	{Name: "close-timeout", Section: "Time limits", Default: "5s",
		Help: "for the client's answer to a close frame; the socket is closed",
		bind: func(c *Serve) value { return durationIn(&c.CloseTimeout, "1s", "5m") }},
	{Name: "linger-timeout", Section: "Time limits", Default: "2s",
		Help: "for a refused client to read the answer; the socket is closed",
		bind: func(c *Serve) value { return durationIn(&c.LingerTimeout, "200ms", "1m") }},
	{Name: "drain-window", Section: "Time limits", Default: "10s",
		Help: "time over which a drain spreads its closes; 0s closes all at once",
		bind: func(c *Serve) value { return durationIn(&c.DrainWindow, "0s", "1h") }},

	{Name: "loops", Section: "Event loops", Default: "0", DefaultNote: "one for each core, more if descriptor tables need it",
		Help: "event loops",
		bind: func(c *Serve) value { return intIn(&c.Loops, 0, 256) }},
	{Name: "fd-tables", Section: "Event loops", Default: "auto",
		Help: "descriptor tables: shared by all loops, one per loop (nofile then counts per loop), or per loop where max-conns needs it",
		bind: func(c *Serve) value {
			return oneOf(&c.FDTables, FDTablesAuto, FDTablesShared, FDTablesPerLoop)
		}},
	{Name: "mailbox-messages", Section: "Event loops", Default: "65536",
		Help: "pushes that may wait for one loop; more are refused to their sender",
		bind: func(c *Serve) value { return intIn(&c.MailboxMessages, 16, 1<<22) }},
	{Name: "mailbox-bytes", Section: "Event loops", Default: "16MiB",
		Help: "bytes of the pushes that may wait for one loop",
		bind: func(c *Serve) value { return sizeIn(&c.MailboxBytes, 64<<10, 1<<30) }},

	{Name: "gogc", Section: "Memory", Default: "50",
		Help: "growth of the heap in percent that starts a garbage collection; wins over GOGC of the environment",
		bind: func(c *Serve) value { return intIn(&c.GOGC, 10, 1000) }},
	{Name: "memory-limit", Section: "Memory", Default: "50%",
		Help: "soft limit of the Go runtime: a size, or a share of the control group's limit (of the host's memory without one); the rest is for the kernel's sockets, about 4 KiB each; wins over GOMEMLIMIT of the environment",
		bind: func(c *Serve) value { return memoryLimit(&c.MemoryLimit) }},

	{Name: "log-format", Section: "Logs", Default: "text",
		Help: "form of the log on standard error",
		bind: func(c *Serve) value { return oneOf(&c.LogFormat, LogText, LogJSON) }},
	{Name: "log-level", Section: "Logs", Default: "info",
		Help: "lowest level that is logged; single connections are logged at debug",
		bind: func(c *Serve) value { return oneOf(&c.LogLevel, LogDebug, LogInfo, LogWarn, LogError) }},

	{Name: "api-token", Section: "Safety", Secret: true, DefaultNote: "none, the API listens on loopback only",
		Help: "bearer token that requests under /v1 have to show, at least 16 characters",
		bind: func(c *Serve) value { return bearerToken(&c.APIToken) }},
	{Name: "insecure-no-auth", Section: "Safety", Default: "false",
		Help: "serve on addresses that are not loopback although nobody has to authenticate",
		bind: func(c *Serve) value { return boolean(&c.InsecureNoAuth) }},
}

// Keys returns the configuration table, in the order of the documents.
func Keys() []Key { return append([]Key(nil), keys...) }
