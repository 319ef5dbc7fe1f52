package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
	"github.com/limpet-gateway/limpet/bench/target"
)

// idle opens connections step by step and reads the memory at each.
func idle(ctx context.Context, t *trial) error {
	if t.server.PID == 0 {
		t.fault("run the benchmark on the server's machine, or give --pid",
			"the memory of %s cannot be read: its process is not on this machine", t.server.Name)
		return errFaults
	}
	t.rec.enter("settle")
	base, _, err := t.settled(ctx)
	if err != nil {
		return err
	}
	if t.out.Memory == nil {
		t.out.Memory = &report.Memory{}
	}
	m := t.out.Memory
	m.Base = base
	took, err := t.ramp(ctx, m)
	t.memoryFigures(m)
	if err != nil {
		return err
	}
	if t.opt.Exercise > 0 {
		if err := t.exercise(ctx, m); err != nil {
			return err
		}
	}
	t.figure(report.Figure{Name: "connect_rate", Label: "opened per second", Unit: "/s",
		Value: float64(t.fleet.Stats().Open) / took.Seconds()})
	return t.fullCollection(ctx)
}

// ramp opens the connections step by step, with a reading after each step,
// and returns the time spent on opening them.
func (t *trial) ramp(ctx context.Context, m *report.Memory) (took time.Duration, err error) {
	for step := 1; step <= t.opt.Steps; step++ {
		want := t.opt.Conns*step/t.opt.Steps - t.opt.Conns*(step-1)/t.opt.Steps
		d, dialErr := t.dial(ctx, want)
		if d.End > d.Start {
			took += time.Duration(d.End - d.Start)
		}
		if step == t.opt.Steps && t.opt.Duration > 0 && dialErr == nil {
			t.rec.enter("hold")
			if err := hold(ctx, t.opt.Duration); err != nil {
				return took, err
			}
		}
		t.rec.enter("settle")
		if ctx.Err() == nil && t.server.Failure() == nil {
			if err := t.point(ctx, m); err != nil {
				return took, errors.Join(dialErr, err)
			}
		}
		if dialErr != nil {
			return took, dialErr
		}
		if s := t.fleet.Stats(); load.Total(s.Closed) > 0 {
			t.explain(s.Closed, fmt.Sprintf("%d idle connections were lost", load.Total(s.Closed)))
			return took, errFaults
		}
	}
	return took, nil
}

// fullCollection measures what one collection of all memory takes, where the
// server can be asked for it. It comes after every reading of memory.
func (t *trial) fullCollection(ctx context.Context) error {
	before, err := t.proc.CPU(t.server.PID)
	if err != nil {
		return err
	}
	switch err := t.server.Collect(ctx); {
	case errors.Is(err, target.ErrNoCollect):
		return nil
	case err != nil:
		return err
	}
	after, err := t.proc.CPU(t.server.PID)
	if err != nil {
		return err
	}
	t.figure(report.Figure{Name: "gc_cpu", Label: "CPU of a full collection", Unit: "s", Value: (after - before).Seconds()})
	return nil
}

// point adds a settled reading at the connections that are open now.
func (t *trial) point(ctx context.Context, m *report.Memory) error {
	mem, ok, err := t.settled(ctx)
	if err != nil {
		return err
	}
	open := t.fleet.Stats().Open
	p := report.Point{Round: t.round, Conns: open, Memory: mem, Settled: ok}
	p.Threads, _ = t.proc.Threads(t.server.PID)
	if p.Kernel, err = t.proc.Kernel(); err != nil {
		return fmt.Errorf("kernel memory: %w", err)
	}
	m.Points = append(m.Points, p)
	if !ok {
		t.note("memory at %d connections was still changing when it was read", open)
	}
	t.say("%6d connections: RSS %s%s", open, report.FormatValue(float64(mem.RSS), "B"), map[bool]string{false: " (not settled)"}[ok])
	return nil
}

// exerciseRate is how many messages a second exercise sends: slow enough that
// each is answered before many others come, so that what stays afterwards is
// what a connection holds and not what a burst has stretched.
const exerciseRate = 1000

// exercise has every connection echo one message in turn, and reads what the
// server holds once it has settled: a server that keeps a buffer for each
// connection that was ever busy shows it here.
func (t *trial) exercise(ctx context.Context, m *report.Memory) error {
	conns := t.fleet.Stats().Open
	last := m.Points[len(m.Points)-1].Memory.RSS
	spec := load.TrafficSpec{Rate: exerciseRate, Size: t.opt.Exercise, Duration: time.Duration(float64(conns) / exerciseRate * float64(time.Second))}
	r, phase, err := t.drive(ctx, "exercise", spec)
	if _, err := t.judge(phase, r, err); err != nil {
		return err
	}
	t.rec.enter("settle")
	after, ok, err := t.settled(ctx)
	if err != nil {
		return err
	}
	if !ok {
		t.note("memory after the exercise was still changing when it was read")
	}
	t.figure(report.Figure{Name: "rss_left_by_message", Label: fmt.Sprintf("RSS left by a message of %d B each", t.opt.Exercise), Unit: "B", Better: report.Lower,
		Value: (float64(after.RSS) - float64(last)) / float64(conns)})
	return nil
}

// hold waits while connections are kept.
func hold(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// memoryFigures fits the lines. The slope leaves out the base: a server's
// first connections warm up pools that the later ones share.
func (t *trial) memoryFigures(m *report.Memory) {
	rss, anon, pss := make([]series, t.round), make([]series, t.round), make([]series, t.round)
	for _, p := range m.Points {
		x, r := float64(p.Conns), p.Round-1
		rss[r].add(x, float64(p.Memory.RSS))
		anon[r].add(x, float64(p.Memory.RSSAnon))
		pss[r].add(x, float64(p.Memory.PSS))
	}
	if len(m.Points) == 0 || m.Points[len(m.Points)-1].Conns == 0 {
		return
	}
	last := m.Points[len(m.Points)-1]
	m.RSS, m.Anon, m.PSS = fit(rss...), fit(anon...), fit(pss...)
	m.Simple = (float64(last.Memory.RSS) - float64(m.Base.RSS)) / float64(last.Conns)
	if per, ok := last.Kernel.PerSocket(t.kernelBefore, last.Conns); ok {
		m.Kernel = per
	}
	if m.RSS.N >= minSteps {
		t.figure(report.Figure{Name: "rss_per_conn", Label: "RSS per connection (slope)", Unit: "B", Better: report.Lower,
			Value: m.RSS.PerConn, Low: m.RSS.Low, High: m.RSS.High})
		t.figure(report.Figure{Name: "anon_per_conn", Label: "RssAnon per connection (slope)", Unit: "B", Better: report.Lower,
			Value: m.Anon.PerConn, Low: m.Anon.Low, High: m.Anon.High})
	}
	t.figure(report.Figure{Name: "rss_per_conn_simple", Label: "RSS per connection (difference)", Unit: "B", Better: report.Lower, Value: m.Simple})
	if m.Kernel > 0 {
		t.figure(report.Figure{Name: "kernel_per_socket", Label: "kernel memory per socket", Unit: "B", Value: m.Kernel})
	}
	t.figure(report.Figure{Name: "conns", Label: "connections", Unit: "count", Value: float64(last.Conns)})
	t.figure(report.Figure{Name: "rss", Label: "RSS with all of them", Unit: "B", Better: report.Lower, Value: float64(last.Memory.RSS)})
	t.figure(report.Figure{Name: "rss_base", Label: "RSS before the first", Unit: "B", Value: float64(m.Base.RSS)})
	if last.Memory.PSS > 0 {
		t.figure(report.Figure{Name: "pss", Label: "PSS with all of them", Unit: "B", Value: float64(last.Memory.PSS)})
	} else {
		t.note("the server's smaps_rollup is not readable: RSS is that of the kernel's counters, up to some hundred kilobytes off, and there is no PSS; run as root or as the server's user")
	}
	t.figure(report.Figure{Name: "rss_peak", Label: "peak RSS", Unit: "B", Better: report.Lower, Value: float64(last.Memory.Peak)})
}
