package telemetry

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/overload"
)

// Where the ladder stands, in the snapshot and in the metrics.
func TestOverload(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	reading := overload.Reading{Used: 960, Budget: 1000, Sockets: 404, Backlog: 0.5, CPU: 0.25, Lag: 20 * time.Millisecond}
	g := overload.New(overload.Config{
		Read: func() overload.Reading { return reading }, Act: func(overload.Decision, overload.Reading) {},
		Release: func(overload.Reading) bool { return true },
	})
	g.Look(now)
	reading.Used = 850
	g.Look(now.Add(time.Second))
	g.Look(now.Add(7 * time.Second))
	s := Sources{Overload: g}
	o := s.overload(now.Add(9 * time.Second))
	if o.Level != "refuse_new" || o.Rung != 3 || o.SinceSeconds != 2 || o.StepsUp != 1 || o.StepsDown != 1 || o.HeapReleases != 2 ||
		o.Signals["memory"] != "refuse_new" || o.Signals["kafka"] != "drop_low" || o.Signals["cpu"] != "normal" || len(o.Signals) != 4 ||
		o.KafkaBacklog != 0.5 || o.CPU != 0.25 || o.LoopLag != 0.02 {
		t.Errorf("%+v", o)
	}
	if m := s.Memory(); m.Used != 850 || m.Budget != 1000 || m.Sockets != 404 {
		t.Errorf("%+v", m)
	}
	metrics, err := NewMetrics(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"limpet_overload_level 3", `limpet_overload_signal_level{signal="memory"} 3`, `limpet_overload_signal_level{signal="kafka"} 2`,
		`limpet_overload_steps_total{direction="up",level="shed"} 1`, `limpet_overload_steps_total{direction="down",level="refuse_new"} 1`,
		"limpet_overload_heap_releases_total 2", "limpet_memory_used_bytes 850", "limpet_memory_budget_bytes 1000", `limpet_memory_bytes{part="sockets"} 404`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if (&Sources{}).overload(now) != nil {
		t.Error("a node without a ladder stands on one")
	}
}
