package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/limpet-gateway/limpet/internal/overload"
)

var (
	overloadLevel   = gauge("overload_level", "How much the node gives up: 0 normal, 1 shrink (buffers get less room), 2 drop_low, 3 refuse_new (and only the latest of medium priority is kept), 4 shed.")
	overloadSignals = gauge("overload_signal_level", "The level that each signal asks for; the highest counts.", "signal")
	overloadSteps   = counter("overload_steps_total", "Times that a level was entered, from below (up) or above (down).", "level", "direction")
	overloadHeap    = counter("overload_heap_releases_total", "Times that free heap was given back to the system because memory neared its budget.")

	overloadFamilies = []family{overloadLevel, overloadSignals, overloadSteps, overloadHeap}
)

// Overload is where a node stands on the ladder of what it gives up.
type Overload struct {
	Level        string            `json:"level"` // normal, shrink, drop_low, refuse_new or shed
	Rung         int               `json:"rung"`  // the same as a number, 0 to 4
	SinceSeconds int64             `json:"since_seconds"`
	Signals      map[string]string `json:"signals"`       // the level that each asks for: memory, cpu, kafka, redis
	StepsUp      uint64            `json:"steps_up"`      // since the start
	StepsDown    uint64            `json:"steps_down"`    // since the start
	Shed         uint64            `json:"shed"`          // sessions closed at a paced rate
	Evicted      uint64            `json:"evicted"`       // connections closed because they held most of too much
	HeapReleases uint64            `json:"heap_releases"` // times that free heap was given back to the system
	CPU          float64           `json:"cpu"`           // share of the processors that it may use, 0 to 1
	LoopLag      float64           `json:"loop_lag"`      // seconds that work has waited for the loop furthest behind
	KafkaBacklog float64           `json:"kafka_backlog"` // share of uplink-buffer in use, 0 to 1
}

func (s *Sources) overload(now time.Time) *Overload {
	if s.Overload == nil {
		return nil
	}
	state := s.Overload.State()
	o := &Overload{
		Level: state.Level.String(), Rung: int(state.Level), SinceSeconds: int64(now.Sub(state.Since) / time.Second),
		Signals: map[string]string{}, HeapReleases: state.Releases,
		CPU: state.Reading.CPU, LoopLag: state.Reading.Lag.Seconds(), KafkaBacklog: state.Reading.Backlog,
	}
	for _, signal := range overload.Signals() {
		o.Signals[signal.String()] = state.Of(signal).String()
	}
	for _, level := range overload.Levels() {
		o.StepsUp += state.Up[level]
		o.StepsDown += state.Down[level]
	}
	return o
}

func collectOverload(to chan<- prometheus.Metric, g *overload.Guard) {
	state := g.State()
	send(to, overloadLevel, int(state.Level))
	for _, signal := range overload.Signals() {
		send(to, overloadSignals, int(state.Of(signal)), signal.String())
	}
	for _, level := range overload.Levels() {
		send(to, overloadSteps, state.Up[level], level.String(), "up")
		send(to, overloadSteps, state.Down[level], level.String(), "down")
	}
	send(to, overloadHeap, state.Releases)
}
