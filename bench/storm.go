package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
)

// storm drops everybody and has all dial again at once.
func storm(ctx context.Context, t *trial) error {
	if _, err := t.dial(ctx, t.opt.Conns); err != nil {
		return err
	}
	before, err := t.restingRSS(ctx)
	if err != nil {
		return err
	}
	if t.server.PID != 0 {
		if err := t.proc.ResetPeak(t.server.PID); err != nil {
			t.note("the peak counts from the server's start: %v", err)
		}
	}
	t.rec.enter("storm")
	w := t.open()
	if _, err := t.fleet.Drop(ctx); err != nil {
		return err
	}
	r, err := t.fleet.Dial(ctx, load.DialSpec{
		Count: t.opt.Conns, Timeout: t.opt.Timeout, InFlight: t.opt.Conns, Retry: true, Deadline: t.opt.Duration,
	})
	phase := w.close("storm")
	phase.Messages, phase.Errors = uint64(r.Opened), r.Refusals
	t.out.Phases = append(t.out.Phases, phase)
	t.latency("reconnect", r.Latency)
	if err != nil {
		return err
	}
	t.figure(report.Figure{Name: "storm_refusals", Label: "refused dials, tried again", Unit: "count", Better: report.Lower, Value: float64(load.Total(r.Refusals))})
	if t.server.PID != 0 {
		m, err := t.proc.Memory(t.server.PID)
		if err != nil {
			return errors.Join(t.server.Failure(), err)
		}
		t.figure(report.Figure{Name: "storm_rss_before", Label: "RSS before", Unit: "B", Value: before})
		t.figure(report.Figure{Name: "storm_rss_peak", Label: "peak RSS", Unit: "B", Better: report.Lower, Value: float64(m.Peak)})
		t.figure(report.Figure{Name: "storm_cpu", Label: "server CPU per reconnect", Unit: "s", Better: report.Lower, Value: phase.ServerCPU / float64(max(r.Opened, 1))})
	}
	if r.Opened < t.opt.Conns {
		t.explain(r.Refusals, fmt.Sprintf("%d of %d clients were not back after %v", t.opt.Conns-r.Opened, t.opt.Conns, t.opt.Duration))
		return errFaults
	}
	t.figure(report.Figure{Name: "storm_all_back", Label: "time until all are back", Unit: "s", Better: report.Lower, Value: time.Duration(r.End - r.Start).Seconds()})
	t.percentiles("reconnect", "reconnect", r.Latency)
	return nil
}

// restingRSS is the settled RSS, or 0 for a server that is not here.
func (t *trial) restingRSS(ctx context.Context) (float64, error) {
	if t.server.PID == 0 {
		return 0, nil
	}
	t.rec.enter("settle")
	m, _, err := t.settled(ctx)
	return float64(m.RSS), err
}
