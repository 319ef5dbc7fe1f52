package reactor

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/limpet-gateway/limpet/wsproto"
)

// FDTables says how event loops hold their descriptors.
type FDTables uint8

const (
	// AutoTables takes PerLoopTables when one table is too small for MaxConns.
	AutoTables FDTables = iota
	// SharedTable is the ordinary case: one table for the process, and
	// RLIMIT_NOFILE counts for all of it.
	SharedTable
	// PerLoopTables gives each loop a table of its own (unshare(2) with
	// CLONE_FILES), so RLIMIT_NOFILE counts per loop.
	PerLoopTables
)

// String returns the word used in configuration.
func (t FDTables) String() string {
	switch t {
	case AutoTables:
		return "auto"
	case SharedTable:
		return "shared"
	case PerLoopTables:
		return "per-loop"
	default:
		return fmt.Sprintf("fd-tables(%d)", uint8(t))
	}
}

// Config is what an Engine needs. Zero values mean the defaults given here.
type Config struct {
	Addr        string // TCP address to listen on; port 0 picks a free one
	Incarnation uint64 // of the node; part of every session id

	Upgrader wsproto.Upgrader       // which requests become sessions
	Decoder  wsproto.DecoderConfig  // limits of inbound messages
	Deflater wsproto.DeflaterConfig // what is compressed, where negotiated

	Loops    int      // event loops; 0 is one per core, or what MaxConns needs with a table per loop
	FDTables FDTables // how loops hold descriptors
	// ExtraDescriptors is what the rest of the process may hold at once beyond
	// the usual 48. An eighth of RLIMIT_NOFILE, up to 1,024, is kept in any case.
	ExtraDescriptors int

	Tuning // at the start; Engine.Tune changes it

	MailboxItems int // entries waiting for one loop; 65,536
	MailboxBytes int // payload bytes waiting for one loop; 16 MiB
	MaxUndecided int // connections that may wait for Engine.Decide; 4,096

	// Over all sessions, 0 is no limit; Engine.SetPressure lowers them. Above,
	// the sessions that hold most are closed.
	OutboundBytes int64 // unsent bytes
	InboundBytes  int64 // bytes of requests, frames and messages that are not complete

	Gate    Gate    // nil lets everybody in
	Preface Preface // nil: clients connect by themselves

	Log *slog.Logger // nil discards
}

// Limits of the design rather than of configuration.
const (
	tick         = 200 * time.Millisecond // resolution of every timeout
	trimTicks    = 25                     // ticks between looks for buffers that a burst has left: 5 s
	readBuffer   = 64 << 10               // one per loop, shared by its connections
	flushBatch   = 512                    // sockets written to before a loop looks at its inbound events again
	mailOverhead = 128                    // bytes that a push takes in a loop beside its payload
	maxWaiting   = 1 << 18                // frames in an outbox above which a loop writes before it takes more mail: 4 MiB
	scratchLimit = 64 << 10               // bytes gathered for one write
	earlyLimit   = 4 << 10                // bytes that an undecided connection may have sent after its request
)

func (c *Config) setDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	def(&c.Heartbeat, 25*time.Second)
	def(&c.HeartbeatGrace, 15*time.Second)
	def(&c.HandshakeTimeout, 10*time.Second)
	def(&c.MessageTimeout, 30*time.Second)
	def(&c.CloseTimeout, 5*time.Second)
	def(&c.LingerTimeout, 2*time.Second)
	def(&c.RetryAfter, 5*time.Second)
	def(&c.DecisionTimeout, 5*time.Second)
	num(&c.OutboundLimit, 256<<10)
	num(&c.MailboxItems, 65536)
	num(&c.MailboxBytes, 16<<20)
	num(&c.ControlRate, 100)
	num(&c.MaxUndecided, 4096)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Validate reports every fault of c at once.
func (c *Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		fault("address %q: want HOST:PORT: %v", c.Addr, err)
	}
	if c.Loops < 0 || c.Loops > maxLoops {
		fault("loops %d: want 0 to %d", c.Loops, maxLoops)
	}
	if c.MaxConns < 0 || c.MaxConns > math.MaxInt32 {
		fault("max conns %d: want 0 to %d", c.MaxConns, math.MaxInt32)
	}
	if c.FDTables > PerLoopTables {
		fault("fd tables %d: want auto, shared or per-loop", c.FDTables)
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{
		{"heartbeat", c.Heartbeat},
		{"heartbeat grace", c.HeartbeatGrace},
		{"handshake timeout", c.HandshakeTimeout},
		{"message timeout", c.MessageTimeout},
		{"close timeout", c.CloseTimeout},
		{"linger timeout", c.LingerTimeout},
		{"retry after", c.RetryAfter},
		{"decision timeout", c.DecisionTimeout},
	} {
		if d.v < 0 || d.v > 24*time.Hour || (d.v > 0 && d.v < tick) {
			fault("%s %v: want 0 for the default, or %v to 24h", d.name, d.v, tick)
		}
	}
	for _, n := range []struct {
		name string
		v    int
	}{
		{"outbound limit", c.OutboundLimit},
		{"mailbox items", c.MailboxItems},
		{"mailbox bytes", c.MailboxBytes},
		{"control rate", c.ControlRate},
		{"max undecided", c.MaxUndecided},
		{"extra descriptors", c.ExtraDescriptors},
	} {
		if n.v < 0 {
			fault("%s %d: want 0 for the default, or more", n.name, n.v)
		}
	}
	if c.OutboundBytes < 0 || c.InboundBytes < 0 {
		fault("outbound bytes %d and inbound bytes %d: want 0 for no limit, or more", c.OutboundBytes, c.InboundBytes)
	}
	faults = append(faults, c.Upgrader.Validate(), c.Decoder.Validate(), c.Deflater.Validate())
	return errors.Join(faults...)
}
