package gateway

import (
	"runtime/debug"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/meter"
	"github.com/limpet-gateway/limpet/internal/overload"
	"github.com/limpet-gateway/limpet/reactor"
)

// Relief joins the ladder of package overload with the parts of a node: it
// reads what they hold, and has them give up what a level asks for. Its methods
// are those of an overload.Config; one goroutine calls them.
type Relief struct {
	Engine   *reactor.Engine
	Uplink   *bridge.Uplink // nil without Kafka
	Memory   *meter.MemoryMeter
	Budget   int64 // bytes
	ShedRate int   // sessions per second
	// DirectoryOut reports whether Redis fails; nil on a node that is alone.
	DirectoryOut func() bool
	// Unreadable is told once when memory cannot be read any more; the ladder
	// goes by the last reading until it can.
	Unreadable func(error)
	CPU        meter.CPUMeter

	before meter.Memory
	blind  bool
}

// newcomerCost is more than a newcomer takes before the next reading: its
// socket in the kernel, gnet's connection, and an unfinished request of usual
// length.
const newcomerCost = 8 << 10

// Read takes a reading.
func (r *Relief) Read() overload.Reading {
	stats := r.Engine.Stats()
	m, err := r.Memory.Read(stats.Conns)
	if err != nil {
		m = r.before
		if !r.blind {
			r.Unreadable(err)
		}
	}
	r.before, r.blind = m, err != nil
	reading := overload.Reading{
		Used: m.Charged, Budget: r.Budget, CPU: r.CPU.Share(time.Now()), Lag: stats.Lag,
		Unfinished: int64(stats.UnfinishedBytes), Sockets: m.Sockets,
	}
	if r.Uplink != nil {
		reading.Backlog = float64(r.Uplink.Stats().BufferedBytes) / float64(r.Uplink.Capacity())
	}
	if r.DirectoryOut != nil {
		reading.DirectoryOut = r.DirectoryOut()
	}
	return reading
}

// halvings is how often buffers are halved at each level of the memory's own
// ladder. What Kafka or the CPU ask for leaves them alone: a smaller buffer
// would be fuller.
var halvings = map[overload.Level]uint8{overload.Shrink: 1, overload.DropLow: 1, overload.RefuseNew: 2, overload.Shed: 3}

// Act has the parts give up what d asks for.
func (r *Relief) Act(d overload.Decision, reading overload.Reading) {
	memory := d.Of(overload.Memory)
	room := reading.RoomForNewcomers()
	p := reactor.Pressure{
		Halvings:  halvings[memory],
		DropLow:   d.Level >= overload.DropLow,
		Refuse:    d.Level >= overload.RefuseNew,
		Newcomers: max(1, int(room/newcomerCost)),
		Inbound:   max(reading.Unfinished+room/2, r.Budget/leastInbound),
	}
	if memory == overload.Shed && reading.Sheds() {
		p.Shed = r.ShedRate
	}
	r.Engine.SetPressure(p)
	if r.Uplink != nil {
		r.Uplink.SetRelief(bridge.Relief{Halvings: p.Halvings, DropLow: p.DropLow, Coalesce: d.Level >= overload.RefuseNew})
	}
}

// Release collects garbage and gives free heap back to the system, where
// enough may come of it.
func (r *Relief) Release(overload.Reading) bool {
	if meter.Releasable() < r.Budget/leastRelease {
		return false
	}
	debug.FreeOSMemory()
	return true
}
