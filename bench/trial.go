package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/probe"
	"github.com/limpet-gateway/limpet/bench/report"
	"github.com/limpet-gateway/limpet/bench/target"
)

// trial is one scenario against one server.
type trial struct {
	opt    *Options
	server *target.Server
	fleet  *load.Fleet
	rec    *recorder
	proc   probe.Proc
	out    *report.Target
	round  int                              // from 1
	say    func(format string, args ...any) // progress, one line each

	kernelBefore probe.Kernel
	cpuBefore    time.Duration
	clientBase   uint64 // RSS of the clients before the first connection
}

// errFaults ends a trial whose faults are already in the result.
var errFaults = errors.New("the trial has faults")

// fault adds a fault to the result.
func (t *trial) fault(advice, format string, args ...any) {
	t.out.Faults = append(t.out.Faults, report.Fault{Message: fmt.Sprintf(format, args...), Advice: advice})
}

// note adds a remark to the result.
func (t *trial) note(format string, args ...any) {
	t.out.Client.Why = append(t.out.Client.Why, fmt.Sprintf(format, args...))
}

// figure adds a headline figure.
func (t *trial) figure(f report.Figure) {
	if math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
		return
	}
	t.out.Figures = append(t.out.Figures, f)
}

// settled reads the server's memory until it no longer changes.
func (t *trial) settled(ctx context.Context) (probe.Memory, bool, error) {
	m, ok, err := t.proc.Settled(ctx, t.server.PID, probe.DefaultSettle())
	if errors.Is(err, probe.ErrGone) {
		err = errors.Join(t.server.Failure(), err)
	}
	return m, ok, err
}

// gentle is how many dials a client process has under way at once unless their speed is the
// question: fewer leave less behind in the server's pools.
const gentle = 64

// bunch is how close together such dials may start.
const bunch = 5 * time.Millisecond

// dial opens n more connections and turns what failed into faults. What
// opened stays open. The error is errFaults when something did fail.
func (t *trial) dial(ctx context.Context, n int) (load.DialResult, error) {
	t.rec.enter("connect")
	r, err := t.fleet.Dial(ctx, load.DialSpec{Count: n, Rate: t.opt.Rate, Timeout: t.opt.Timeout, InFlight: gentle * t.fleet.Size(), Bunch: bunch})
	if err != nil {
		return r, err
	}
	if r.Opened < n {
		t.explain(r.Refusals, fmt.Sprintf("%d of %d connections did not open", n-r.Opened, n))
		return r, errFaults
	}
	return r, nil
}

// window is a stretch of time with what it cost both sides.
type window struct {
	t         *trial
	begun     time.Time
	start     float64
	cpu       time.Duration
	client    load.Stats
	busy, all time.Duration
}

func (t *trial) open() window {
	w := window{t: t, begun: time.Now(), start: t.rec.since(), client: t.fleet.Stats()}
	if t.server.PID != 0 {
		w.cpu, _ = t.proc.CPU(t.server.PID) // a server that has gone is found by the trial
	}
	w.busy, w.all, _ = t.proc.HostCPU()
	return w
}

// close makes a phase of the window.
func (w window) close(name string) report.Phase {
	p := report.Phase{Name: name, Start: w.start, Seconds: time.Since(w.begun).Seconds(), Errors: map[string]uint64{}}
	if w.t.server.PID != 0 {
		cpu, err := w.t.proc.CPU(w.t.server.PID)
		if err == nil {
			p.ServerCPU = (cpu - w.cpu).Seconds()
		}
	}
	client := w.t.fleet.Stats()
	p.ClientCPU = (client.CPU - w.client.CPU).Seconds()
	p.ClientBusy = (client.LoopCPU - w.client.LoopCPU).Seconds() / p.Seconds
	if busy, all, err := w.t.proc.HostCPU(); err == nil && all > w.all {
		p.HostBusy = float64(busy-w.busy) / float64(all-w.all)
		p.Others = max((busy-w.busy).Seconds()-p.ServerCPU-p.ClientCPU, 0) / p.Seconds
	}
	return p
}

// at waits for a time on CLOCK_MONOTONIC.
func at(ctx context.Context, mono int64) error {
	timer := time.NewTimer(time.Duration(mono - load.Now()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// drive runs traffic and measures the time after its warm-up as one phase.
func (t *trial) drive(ctx context.Context, name string, spec load.TrafficSpec) (load.TrafficResult, report.Phase, error) {
	spec.StartAt = load.Now() + int64(100*time.Millisecond)
	spec.Grace = t.opt.Timeout
	t.rec.enter(name)
	type answer struct {
		load.TrafficResult
		error
	}
	answers := make(chan answer, 1)
	during, over := context.WithCancel(ctx)
	defer over()
	go func() {
		r, err := t.fleet.Traffic(ctx, spec)
		if err != nil {
			over() // there is nothing to wait for
		}
		answers <- answer{r, err}
	}()
	from := spec.StartAt + int64(spec.Warmup)
	waitErr := at(during, from)
	w := t.open()
	if waitErr == nil {
		waitErr = at(during, from+int64(spec.Duration))
	}
	phase := w.close(name)
	a := <-answers
	phase.Messages, phase.Sent, phase.Unanswered = a.Measured, a.Sent, a.Unanswered
	phase.Errors = a.Errors
	phase.LagP99Nanos = a.Lag.ValueAtPercentile(99)
	if phase.Messages > 0 && t.server.PID != 0 {
		phase.PerMessage = phase.ServerCPU / float64(phase.Messages)
	}
	t.out.Phases = append(t.out.Phases, phase)
	if a.error != nil {
		return a.TrafficResult, phase, a.error
	}
	return a.TrafficResult, phase, waitErr
}

// latency turns a histogram into its place in the result.
func (t *trial) latency(name string, h load.Hist) {
	if h.TotalCount() == 0 {
		return
	}
	l := report.Latency{
		Name: name, Count: h.TotalCount(), Mean: h.Mean(), Min: h.Min(), Max: h.Max(),
		P: make(map[string]int64),
	}
	for _, p := range []float64{50, 75, 90, 99, 99.9, 99.99} {
		l.P[fmt.Sprintf("%g", p)] = h.ValueAtPercentile(p)
	}
	for _, p := range curve {
		if float64(h.TotalCount())*(1-p/100) < 0.5 && p > 99 {
			break // finer than the count of values
		}
		l.Curve = append(l.Curve, report.CurvePoint{Percentile: p, Value: h.ValueAtPercentile(p)})
	}
	l.Curve = append(l.Curve, report.CurvePoint{Percentile: 100, Value: h.Max()})
	if text, err := h.MarshalText(); err == nil {
		l.HDR = string(text)
	}
	t.out.Latencies = append(t.out.Latencies, l)
}

// curve is where the percentile curve is drawn.
var curve = []float64{1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 96, 97, 98, 99, 99.25, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999}

// percentile adds a latency figure in seconds.
func (t *trial) percentile(name, label string, h load.Hist, p float64) {
	if h.TotalCount() == 0 {
		return
	}
	t.figure(report.Figure{
		Name: name, Label: label, Unit: "s", Better: report.Lower,
		Value: float64(h.ValueAtPercentile(p)) / 1e9,
	})
}
