package bench

import (
	"context"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
)

// slow compares a time in which all clients read with one in which some do
// not.
func slow(ctx context.Context, t *trial) error {
	if _, err := t.dial(ctx, t.opt.Conns); err != nil {
		return err
	}
	spec := load.TrafficSpec{Rate: t.opt.MsgRate, Warmup: t.opt.Warmup, Duration: t.opt.Duration, Size: t.opt.Size}
	r, phase, err := t.drive(ctx, "all read", spec)
	t.latency("all read", r.Latency)
	if _, err := t.judge(phase, r, err); err != nil {
		return err
	}
	t.percentile("slow_before_p50", "all read: latency p50", r.Latency, 50)
	t.percentile("slow_before_p99", "all read: latency p99", r.Latency, 99)
	before, err := t.restingRSS(ctx)
	if err != nil {
		return err
	}
	kernel, err := t.proc.Kernel()
	if err != nil {
		return err
	}
	t.rec.resetPeak()
	spec.DeafShare = t.opt.SlowShare
	r, phase, err = t.drive(ctx, "some do not read", spec)
	peak := t.rec.highest()
	t.latency("some do not read", r.Latency)
	if _, err := t.judge(phase, r, err); err != nil {
		return err
	}
	t.percentile("slow_others_p50", "some do not: the others' p50", r.Latency, 50)
	t.percentile("slow_others_p99", "some do not: the others' p99", r.Latency, 99)
	n := float64(r.Deaf)
	t.figure(report.Figure{Name: "slow_clients", Label: "clients that do not read", Unit: "count", Value: n})
	t.figure(report.Figure{Name: "slow_closed", Label: "of them closed by the server", Unit: "count", Value: float64(r.DeafClosed)})
	if t.server.PID != 0 && n > 0 {
		grown := max(float64(peak)-before, 0)
		t.figure(report.Figure{Name: "slow_rss_growth", Label: "growth of RSS, at its peak", Unit: "B", Better: report.Lower, Value: grown})
		t.figure(report.Figure{Name: "slow_rss_per_client", Label: "growth per slow client", Unit: "B", Better: report.Lower, Value: grown / n})
	}
	after, err := t.proc.Kernel()
	if err != nil {
		return err
	}
	t.figure(report.Figure{Name: "slow_kernel", Label: "socket buffers, grown by", Unit: "B", Value: float64(after.Buffers) - float64(kernel.Buffers)})
	return nil
}
