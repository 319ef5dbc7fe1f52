package sysctl

import (
	"errors"
	"fmt"
)

// Tables says how the gateway's event loops hold descriptors.
type Tables string

const (
	// TablesAuto takes per-loop tables when RLIMIT_NOFILE is too small for one.
	TablesAuto Tables = "auto"
	// TablesShared is the usual single table of a process.
	TablesShared Tables = "shared"
	// TablesPerLoop gives each event loop a table of its own, so that
	// RLIMIT_NOFILE counts per loop (unshare(2), CLONE_FILES).
	TablesPerLoop Tables = "per-loop"
)

const (
	// MaxConns is the most that anybody may ask for; it keeps every product below
	// far from overflow.
	MaxConns = 100_000_000
	// MaxRate bounds connections and messages a second.
	MaxRate = 100_000_000
	// MaxMessageBytes bounds the message size.
	MaxMessageBytes     = 1 << 30
	defaultMessageBytes = 256
	// MaxLoops is the most event loops that the reactor's library runs.
	MaxLoops = 256
	// A table keeps an eighth of itself, within these bounds, for everything that
	// is not a client: epoll, listeners, Kafka, Redis, HTTP, files, and refused
	// connections that are still being told so. The gateway plans the same.
	reserveShare              = 8
	reserveLeast, reserveMost = 64, 1024
	// tableLeast is the smallest limit with which the gateway starts.
	tableLeast = 2 * reserveLeast
	// A loop's share of connections is uneven, as SO_REUSEPORT hashes: 17 of 20
	// slots are planned for, and what a loop gets is taken as 20/17 of its share.
	planFilled, planSlots = 17, 20
)

// Need is what the host is to hold. The zero value of every field but Conns has
// a default, which WithDefaults fills in.
type Need struct {
	Conns int64 `json:"conns"` // connections held at once, 1 to MaxConns
	// Rate is new connections a second at the worst, when all clients come back
	// after an outage. 0: all of them within a minute, at least 100.
	Rate int64 `json:"rate"`
	// MsgRate is messages a second in both directions together, besides the
	// heartbeats that are always counted.
	MsgRate      int64 `json:"msg_rate"`
	MessageBytes int64 `json:"message_bytes"` // size of a message; 0: 256
	// Outbound is connections that this host itself opens to one address and
	// port: 0 for a gateway, which dials only Kafka and Redis.
	Outbound int64  `json:"outbound"`
	Tables   Tables `json:"fd_tables"` // "": auto
	Loops    int64  `json:"loops"`     // event loops; 0: as many as CPUs it may use, or as per-loop tables need
}

// WithDefaults fills in what was left at zero.
func (n Need) WithDefaults() Need {
	if n.Rate == 0 {
		n.Rate = max(100, ceilDiv(n.Conns, 60))
	}
	if n.MessageBytes == 0 {
		n.MessageBytes = defaultMessageBytes
	}
	if n.Tables == "" {
		n.Tables = TablesAuto
	}
	return n
}

// Validate reports every fault at once.
func (n Need) Validate() error {
	var errs []error
	check := func(name string, value, low, high int64) {
		if value < low || value > high {
			errs = append(errs, fmt.Errorf("%s must be from %s to %s, not %s", name, Count(low), Count(high), Count(value)))
		}
	}
	check("conns", n.Conns, 1, MaxConns)
	check("rate", n.Rate, 0, MaxRate)
	check("msg-rate", n.MsgRate, 0, MaxRate)
	check("msg-bytes", n.MessageBytes, 0, MaxMessageBytes)
	check("outbound", n.Outbound, 0, MaxConns)
	check("loops", n.Loops, 0, MaxLoops)
	switch n.Tables {
	case "", TablesAuto, TablesShared, TablesPerLoop:
	default:
		errs = append(errs, fmt.Errorf("fd-tables must be auto, shared or per-loop, not %q", clip(string(n.Tables))))
	}
	return errors.Join(errs...)
}

// Plan is how many loops and descriptors hold the connections.
type Plan struct {
	Tables      Tables `json:"fd_tables"` // shared or per-loop
	Loops       int64  `json:"loops"`
	Descriptors int64  `json:"descriptors"` // RLIMIT_NOFILE that each table needs
	Math        string `json:"arithmetic"`
}

// descriptorsFor is the smallest RLIMIT_NOFILE that leaves n to connections.
func descriptorsFor(n int64) int64 {
	limit := max(add(n, min(max(ceilDiv(n, reserveShare-1), reserveLeast), reserveMost)), tableLeast)
	// The eighth is rounded down, which may save one.
	for connsWithin(limit-1) >= n {
		limit--
	}
	return limit
}

// connsWithin is what a limit leaves to connections, descriptorsFor turned round.
func connsWithin(limit int64) int64 {
	if limit < tableLeast {
		return 0
	}
	return max(0, limit-min(max(limit/reserveShare, reserveLeast), reserveMost))
}

// plan chooses the tables as the gateway does at its start.
func plan(n Need, h Host) Plan {
	limit := min(h.NofileHard, h.NrOpen)
	shared := sharedPlan(n, h)
	switch n.Tables {
	case TablesShared:
		return shared
	case TablesPerLoop:
		return perLoopPlan(n, h, limit)
	}
	// A limit that could not be read (0) is not a reason to split the tables.
	if shared.Descriptors <= limit || limit == 0 {
		return shared
	}
	if split := perLoopPlan(n, h, limit); split.Descriptors <= limit {
		return split
	}
	return shared
}

func sharedPlan(n Need, h Host) Plan {
	p := Plan{Tables: TablesShared, Loops: n.Loops, Descriptors: descriptorsFor(n.Conns)}
	if p.Loops == 0 {
		p.Loops = min(h.loops(), MaxLoops)
	}
	p.Math = fmt.Sprintf("%s connections + %s reserved, one table for all loops", Count(n.Conns), Count(p.Descriptors-n.Conns))
	return p
}

// perLoopPlan takes the fewest loops, not below the CPUs, whose tables fit limit.
func perLoopPlan(n Need, h Host, limit int64) Plan {
	p := Plan{Tables: TablesPerLoop, Loops: n.Loops}
	if p.Loops == 0 {
		held := max(connsWithin(limit)*planFilled/planSlots, 1) // the share that one table is planned to hold
		p.Loops = min(max(h.loops(), ceilDiv(n.Conns, held)), MaxLoops)
	}
	share := ceilDiv(mul(ceilDiv(n.Conns, p.Loops), planSlots), planFilled)
	p.Descriptors = descriptorsFor(share)
	p.Math = fmt.Sprintf("%s connections / %s loops x %d/%d for uneven shares = %s, + %s reserved in each table",
		Count(n.Conns), Count(p.Loops), planSlots, planFilled, Count(share), Count(p.Descriptors-share))
	return p
}
