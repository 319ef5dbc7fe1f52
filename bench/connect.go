package bench

import (
	"context"
	"time"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
)

// connect opens and drops all connections again and again.
func connect(ctx context.Context, t *trial) error {
	var rates []float64
	var opened int
	var cpu float64
	latency := load.NewHist()
	defer func() {
		t.latency("connect", latency)
		if len(rates) == 0 {
			return
		}
		rate, _, _ := median(rates)
		t.figure(report.Figure{Name: "connect_rate", Label: "connections per second (median of rounds)", Unit: "/s", Better: report.Higher, Value: rate})
		t.figure(report.Figure{Name: "connect_rounds", Label: "rounds", Unit: "count", Value: float64(len(rates))})
		if cpu > 0 {
			t.figure(report.Figure{Name: "cpu_per_connect", Label: "server CPU per connection", Unit: "s", Better: report.Lower, Value: cpu / float64(opened)})
		}
		t.percentiles("connect", "upgrade", latency)
	}()
	var until time.Time
	for round := 0; round == 0 || len(rates) == 0 || time.Now().Before(until); round++ {
		if round == 1 {
			until = time.Now().Add(t.opt.Duration)
		}
		t.rec.enter("connect")
		w := t.open()
		r, err := t.fleet.Dial(ctx, load.DialSpec{Count: t.opt.Conns, Rate: t.opt.Rate, Timeout: t.opt.Timeout})
		phase := w.close("connect")
		if err != nil {
			return err
		}
		if r.Opened < t.opt.Conns {
			t.explain(r.Refusals, "connections did not open")
			return errFaults
		}
		if round > 0 {
			rates = append(rates, float64(r.Opened)/(float64(r.End-r.Start)/1e9))
			latency.Merge(r.Latency.Histogram)
			opened += r.Opened
			cpu += phase.ServerCPU
			phase.Messages = uint64(r.Opened)
			t.out.Phases = append(t.out.Phases, phase)
		}
		t.rec.enter("drop")
		if _, err := t.fleet.Drop(ctx); err != nil {
			return err
		}
		if err := t.quiet(ctx); err != nil {
			return err
		}
	}
	return nil
}

const (
	quietEvery = 50 * time.Millisecond
	quietMost  = 10 * time.Second
	quietShare = 0.02 // of one core
)

// quiet waits until the server has dealt with what went before: until it
// takes less than 2 % of a core, or 10 s have passed.
func (t *trial) quiet(ctx context.Context) error {
	if t.server.PID == 0 {
		return hold(ctx, time.Second)
	}
	deadline := time.Now().Add(quietMost)
	last, err := t.proc.CPU(t.server.PID)
	for still := 0; err == nil && still < 4 && time.Now().Before(deadline); {
		if err := hold(ctx, quietEvery); err != nil {
			return err
		}
		var now time.Duration
		if now, err = t.proc.CPU(t.server.PID); float64(now-last) <= quietShare*float64(quietEvery) {
			still++
		} else {
			still = 0
		}
		last = now
	}
	return err
}
