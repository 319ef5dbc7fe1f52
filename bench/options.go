package bench

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/target"
)

// Options are what a run is asked for. Defaults returns the defaults of a
// scenario; Validate reports every fault at once.
type Options struct {
	Scenario string

	// The servers: either URLs of running ones, or names for target.Spawner.
	Targets []string
	PID     int    // of the only target; 0: found from the listening socket
	Metrics string // URL for the only target; empty: none
	Spawn   []string
	Spawner target.Spawner

	Conns     int
	Rate      float64 // dials per second; 0: as fast as they open
	MsgRate   float64 // messages per second; 0: the scenario chooses
	Duration  time.Duration
	Warmup    time.Duration
	Timeout   time.Duration // for one dial, and for answers after the end
	Size      int           // payload bytes
	Seed      uint64
	Steps     int     // counts of connections at which memory is read
	Rounds    int     // times that a spawned server is started and measured anew
	InFlight  []int   // broadcasts under way at once
	SlowShare float64 // of the connections that do not read
	Churn     float64 // connections per second that are replaced
	Clients   int     // client processes at least; 0: as many as are needed
	Exercise  int     // bytes that every idle connection echoes once before a last reading; 0: none

	Client  []string // command of a client process
	Env     []string // added to its environment
	Tool    string   // version, for the result
	Command []string // command line, for the result
	Join    Joints
}

// Bounds of the options.
const (
	MaxConns = 4_000_000
	MaxSteps = 100
	MaxSize  = 1 << 20

	maxRounds = 20
	minSteps  = 4 // fewer give no useful confidence interval
)

// choose fills in what is left to the scenario.
func (o *Options) choose(s Scenario) {
	if o.MsgRate == 0 {
		o.MsgRate = s.Defaults.MsgRate
	}
}

// finite says whether v is a number, and not below 0.
func finite(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }

// Validate reports every fault at once, in words a user can act on.
func (o *Options) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if (len(o.Targets) == 0) == (len(o.Spawn) == 0) {
		bad("give either --target ws://HOST:PORT/PATH or --spawn NAME,...")
	}
	for _, raw := range o.Targets {
		if err := target.CheckURL(raw); err != nil {
			bad("%w", err)
		}
	}
	for _, name := range o.Spawn {
		if !slices.Contains(target.Names(), name) {
			bad("--spawn %s: want one of %s", name, strings.Join(target.Names(), ", "))
		}
	}
	if len(o.Targets) != 1 && (o.PID != 0 || o.Metrics != "") {
		bad("--pid and --metrics go with a single --target")
	}
	if o.Conns < 1 || o.Conns > MaxConns {
		bad("--conns %d: want 1 to %d", o.Conns, MaxConns)
	}
	if !finite(o.Rate) {
		bad("--rate %v: want 0 (as fast as they open) or more", o.Rate)
	}
	if !finite(o.MsgRate) {
		bad("--msg-rate %v: want 0 (chosen by the scenario) or more", o.MsgRate)
	}
	if o.Size < load.StampLen || o.Size > MaxSize {
		bad("--size %d: want %d (the time stamp that each message carries) to %d bytes", o.Size, load.StampLen, MaxSize)
	}
	if o.Steps < minSteps || o.Steps > MaxSteps {
		bad("--steps %d: want %d to %d", o.Steps, minSteps, MaxSteps)
	}
	if o.Rounds < 1 || o.Rounds > maxRounds {
		bad("--rounds %d: want 1 to %d", o.Rounds, maxRounds)
	}
	if s, ok := Find(o.Scenario); ok && s.steps {
		if o.Steps > o.Conns {
			bad("--steps %d: want no more than --conns %d", o.Steps, o.Conns)
		}
	} else if ok {
		if o.Rounds > 1 {
			bad("--rounds %d: want 1, only idle fits a line through several rounds", o.Rounds)
		}
		if o.Duration == 0 {
			bad("--duration 0s: want the time to measure")
		}
	}
	for name, d := range map[string]time.Duration{"--duration": o.Duration, "--warmup": o.Warmup} {
		if d < 0 {
			bad("%s %v: want 0 or more", name, d)
		}
	}
	if o.Timeout < 100*time.Millisecond {
		bad("--timeout %v: want 100ms or more", o.Timeout)
	}
	if !finite(o.SlowShare) || o.SlowShare > 0.9 {
		bad("--slow-share %v: want 0 to 0.9", o.SlowShare)
	}
	if !finite(o.Churn) {
		bad("--churn %v: want 0 or more", o.Churn)
	}
	if o.Exercise != 0 && (o.Exercise < load.StampLen || o.Exercise > MaxSize) {
		bad("--exercise %d: want 0 (none), or %d to %d bytes", o.Exercise, load.StampLen, MaxSize)
	}
	if o.Clients < 0 {
		bad("--clients %d: want 0 (as many as are needed) or more", o.Clients)
	}
	for _, n := range o.InFlight {
		if n < 1 || n > 1000 {
			bad("--in-flight %d: want 1 to 1000", n)
		}
	}
	return errors.Join(faults...)
}
