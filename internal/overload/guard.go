package overload

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// DefaultEvery is the time between two readings.
const DefaultEvery = 250 * time.Millisecond

// releaseEvery bounds how often free heap is given back to the system: that
// takes a full collection, 0.4 s of CPU at a million sessions.
const releaseEvery = 5 * time.Second

// Config is what a Guard needs.
type Config struct {
	Read func() Reading // what there is; must not block for long
	// Act is told after every reading, so that what follows the readings
	// closely, as room that is left, can. It must not block.
	Act func(Decision, Reading)
	// Release gives free heap back to the system if that is worth it, and
	// reports whether it did. It is called when memory asks for a higher level
	// than the ladder has, before the ladder moves, so that garbage alone moves
	// nothing; at most every 5 s.
	Release func(Reading) bool
	// Changed is told of each step, after Act. It must not block.
	Changed func(from, to Decision, r Reading)

	Every time.Duration // between two readings; 0 is DefaultEvery
	Dwell time.Duration // of the Ladder
	Log   *slog.Logger
}

// State is where a guard stands and what it has done.
type State struct {
	Decision
	Reading  Reading // the latest
	Since    time.Time
	Up       [numLevels]uint64 // times that a level was entered from below
	Down     [numLevels]uint64 // times that a level was entered from above
	Releases uint64            // times that free heap was given back
}

// Guard runs a ladder.
type Guard struct {
	cfg      Config
	ladder   *Ladder   // owned by Run
	released time.Time // owned by Run

	mu    sync.Mutex // held to copy State
	state State
}

// New returns a guard that stands at Normal until Run is called.
func New(cfg Config) *Guard {
	if cfg.Every == 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Release == nil {
		cfg.Release = func(Reading) bool { return false }
	}
	if cfg.Changed == nil {
		cfg.Changed = func(Decision, Decision, Reading) {}
	}
	return &Guard{cfg: cfg, ladder: NewLadder(cfg.Dwell), state: State{Since: time.Now()}}
}

// Run takes readings until ctx ends. It is called once.
func (g *Guard) Run(ctx context.Context) {
	ticker := time.NewTicker(g.cfg.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			g.Look(now)
		}
	}
}

// Look takes one reading at the time now and acts on it: what Run does at each
// tick. It is not called beside Run.
func (g *Guard) Look(now time.Time) {
	r := g.cfg.Read()
	if g.wantsRelease(now, r) && g.cfg.Release(r) {
		g.released = now
		g.count(func(s *State) { s.Releases++ })
		r = g.cfg.Read()
	}
	before := g.State().Decision
	after := g.ladder.Step(now, r)
	g.cfg.Act(after, r)
	g.count(func(s *State) {
		s.Decision, s.Reading = after, r
		switch {
		case after.Level > before.Level:
			s.Up[after.Level]++
			s.Since = now
		case after.Level < before.Level:
			s.Down[after.Level]++
			s.Since = now
		}
	})
	if after.Level != before.Level {
		g.tell(before, after, r)
		g.cfg.Changed(before, after, r)
	}
}

// wantsRelease reports whether memory is about to climb, or stands high, and
// free heap was not given back a moment ago.
func (g *Guard) wantsRelease(now time.Time, r Reading) bool {
	return r.pressure(Memory) >= bounds[Memory][0].up && now.Sub(g.released) >= releaseEvery
}

// tell logs a step, once.
func (g *Guard) tell(from, to Decision, r Reading) {
	level, text := slog.LevelWarn, "overload: the node gives up more"
	if to.Level < from.Level {
		level, text = slog.LevelInfo, "overload: the node gives up less"
	}
	g.cfg.Log.Log(context.Background(), level, text, "level", to.Level.String(), "from", from.Level.String(),
		"memory", to.By[Memory].String(), "cpu", to.By[CPU].String(), "kafka", to.By[Kafka].String(), "redis", to.By[Redis].String(),
		"used", r.Used, "budget", r.Budget, "cpu_share", r.CPU, "loop_lag", r.Lag, "kafka_backlog", r.Backlog)
}

func (g *Guard) count(change func(*State)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.state)
}

// State returns where the guard stands. Any goroutine.
func (g *Guard) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}
