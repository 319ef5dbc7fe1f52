package overload

import (
	"math"
	"time"
)

// Reading is what is known of the node at one moment.
type Reading struct {
	Used   int64 // bytes that the process is charged for, its sockets in the kernel included
	Budget int64 // bytes that it may be charged for; 0: memory is not looked at

	CPU float64       // share of the processors that it may use, 0 to 1
	Lag time.Duration // how long work has waited for the event loop that is furthest behind

	Backlog      float64 // share of the uplink's configured buffer in use, 0 to 1; 0 without Kafka
	DirectoryOut bool    // Redis fails and the node works from its own table

	// Parts of Used, which are no signals.
	Unfinished int64 // bytes of input that is not complete
	Sockets    int64 // bytes that the kernel keeps for connections
}

// busyCPU is the share of the processors above which loops that are behind are
// behind for lack of them. Below it something else holds them up, a neighbour
// on the host for instance, and giving up messages would not help.
const busyCPU = 0.85

// pressure is the reading of one signal as a number that bounds can be set to:
// shares for memory and Kafka, seconds for the CPU, 0 or 1 for Redis.
func (r Reading) pressure(s Signal) float64 {
	switch s {
	case Memory:
		if r.Budget > 0 {
			return float64(r.Used) / float64(r.Budget)
		}
	case CPU:
		if r.CPU >= busyCPU {
			return r.Lag.Seconds()
		}
	case Kafka:
		return r.Backlog
	case Redis:
		if r.DirectoryOut {
			return 1
		}
	}
	return 0
}

// bound is where a signal enters a level, and below what it may leave it.
type bound struct{ up, down float64 }

var never = math.Inf(1)

// bounds are those of Shrink, DropLow, RefuseNew and Shed. The up bounds of a
// signal grow, and a level's down bound lies at or below the up bound of the
// level before it, so that a step down is never followed by the same step up
// unless readings have grown again.
//
// Memory: newcomers are refused at nine tenths of the budget, before it is
// passed. Kafka: the uplink turns low priority away by itself at half of its
// buffer and medium at three quarters; the ladder sees to it a little sooner, so
// that the room is there for high priority, and keeps out newcomers whose
// messages would be refused. No session is closed for Kafka or the CPU: it
// would come back and cost more. Without Redis the node serves its own
// sessions as before, so that shows as the first rung and costs nothing.
var bounds = [numSignals][numLevels - 1]bound{
	Memory: {{0.70, 0.60}, {0.80, 0.70}, {0.90, 0.80}, {0.95, 0.90}},
	CPU:    {{0.5, 0.25}, {1, 0.5}, {2, 1}, {never, never}},
	Kafka:  {{0.35, 0.25}, {0.45, 0.35}, {0.80, 0.45}, {never, never}},
	Redis:  {{1, 1}, {never, never}, {never, never}, {never, never}},
}

// RoomForNewcomers is how many bytes are left until newcomers are refused.
func (r Reading) RoomForNewcomers() int64 {
	return max(0, int64(bounds[Memory][RefuseNew-1].up*float64(r.Budget))-r.Used)
}

// Sheds reports whether sessions are to be closed for this reading while the
// memory's level is Shed. The level holds for a dwell when memory has fallen
// below its bounds; sessions that went meanwhile would go for nothing.
func (r Reading) Sheds() bool { return r.pressure(Memory) >= bounds[Memory][Shed-1].down }

// LeastBudget is the smallest budget of which so much may be in use without
// anything being given up.
func LeastBudget(used int64) int64 { return int64(float64(used)/bounds[Memory][Shrink-1].down) + 1 }

// Decision is where the ladder stands.
type Decision struct {
	Level Level // the highest of By
	By    [numSignals]Level
}

// Of returns the level of one signal.
func (d Decision) Of(s Signal) Level { return d.By[s] }

// Worst returns the signal that stands highest; the first of several.
func (d Decision) Worst() Signal {
	for _, s := range Signals() {
		if d.By[s] == d.Level {
			return s
		}
	}
	panic("overload: a level that no signal asks for")
}

// DefaultDwell is how long readings must have stayed below a rung's lower
// bound before it is left.
const DefaultDwell = 5 * time.Second

// Ladder is the state machine. Make one with NewLadder.
type Ladder struct {
	dwell time.Duration
	now   Decision
	below [numSignals]time.Time // since when readings allow to leave the rung; zero: they do not
}

// NewLadder returns a ladder at Normal. A dwell of 0 is DefaultDwell.
func NewLadder(dwell time.Duration) *Ladder {
	if dwell == 0 {
		dwell = DefaultDwell
	}
	return &Ladder{dwell: dwell}
}

// Step takes in a reading of the time now, which does not go back, and returns
// where the ladder stands.
func (l *Ladder) Step(now time.Time, r Reading) Decision {
	highest := Normal
	for _, s := range Signals() {
		l.step(s, now, r.pressure(s))
		highest = max(highest, l.now.By[s])
	}
	l.now.Level = highest
	return l.now
}

func (l *Ladder) step(s Signal, now time.Time, pressure float64) {
	level := l.now.By[s]
	for level < Shed && pressure >= bounds[s][level].up {
		level++
	}
	switch {
	case level > l.now.By[s]:
		l.now.By[s], l.below[s] = level, time.Time{}
	case level == Normal || pressure >= bounds[s][level-1].down:
		l.below[s] = time.Time{}
	case l.below[s].IsZero():
		l.below[s] = now
	case now.Sub(l.below[s]) >= l.dwell:
		l.now.By[s]--
		l.below[s] = now // the next rung down has a dwell of its own
		if level = l.now.By[s]; level == Normal || pressure >= bounds[s][level-1].down {
			l.below[s] = time.Time{}
		}
	}
}
