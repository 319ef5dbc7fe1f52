package sysctl

import (
	"errors"
	"fmt"
	"sort"
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
	// is not a client: epoll, listeners, Kafka, Redis, HTTP, files, and an eighth of
	// that for refused connections that are still being told so. At the least it
	// keeps what each loop needs in every table, those refused and some others. The
	// gateway plans the same (reactor's descriptorPlan).
	reserveShare              = 8
	reserveLeast, reserveMost = 64, 1024
	lingerShare, lingerLeast  = 8, 8
	loopDescriptors           = 4
	otherDescriptors          = 48
	// tableLeast is the fewest connections with which the gateway starts.
	tableLeast = 64
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
	Loops    int64  `json:"loops"`     // event loops; 0: as many as CPUs, or as per-loop tables need
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

// reserved is what a limit keeps from connections, for so many loops.
func reserved(limit, loops int64) int64 {
	share := min(max(limit/reserveShare, reserveLeast), reserveMost)
	return max(share, otherDescriptors+max(share/lingerShare, lingerLeast)+loopDescriptors*loops)
}

// connsWithin is what a limit leaves to connections, 0 where the gateway does not
// start.
func connsWithin(limit, loops int64) int64 {
	if n := limit - reserved(limit, loops); n >= tableLeast {
		return n
	}
	return 0
}

// descriptorsFor is the smallest RLIMIT_NOFILE that leaves n to connections.
func descriptorsFor(n, loops int64) int64 {
	// A larger limit never leaves less, and none keeps more than an endless one.
	above := sort.Search(int(reserved(Unlimited, loops)+tableLeast), func(above int) bool {
		return connsWithin(add(n, int64(above)), loops) >= n
	})
	return add(n, int64(above))
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
	p := Plan{Tables: TablesShared, Loops: n.Loops}
	if p.Loops == 0 {
		p.Loops = min(h.loops(), MaxLoops)
	}
	p.Descriptors = descriptorsFor(n.Conns, p.Loops)
	p.Math = fmt.Sprintf("%s connections + %s reserved, one table for all loops", Count(n.Conns), Count(p.Descriptors-n.Conns))
	return p
}

// perLoopPlan takes the fewest loops, not below the CPUs, whose tables fit limit.
func perLoopPlan(n Need, h Host, limit int64) Plan {
	p := Plan{Tables: TablesPerLoop, Loops: n.Loops}
	if p.Loops == 0 {
		p.Loops = min(h.loops(), MaxLoops)
		for {
			// Loops take room in every table, so more of them may take still more.
			held := max(connsWithin(limit, p.Loops)*planFilled/planSlots, 1)
			want := min(ceilDiv(n.Conns, held), MaxLoops)
			if want <= p.Loops {
				break
			}
			p.Loops = want
		}
	}
	share := ceilDiv(mul(ceilDiv(n.Conns, p.Loops), planSlots), planFilled)
	p.Descriptors = descriptorsFor(share, p.Loops)
	p.Math = fmt.Sprintf("%s connections / %s loops x %d/%d for uneven shares = %s, + %s reserved in each table",
		Count(n.Conns), Count(p.Loops), planSlots, planFilled, Count(share), Count(p.Descriptors-share))
	return p
}
