package bench

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
)

// watched drives the same echoes while nobody looks and while all do, in pairs
// whose order alternates, so that what drifts falls on both.
func watched(ctx context.Context, t *trial) error {
	if _, err := t.dial(ctx, t.opt.Conns); err != nil {
		return err
	}
	var rest [2]float64 // alone, watched: CPU seconds a second
	for _, who := range []int{0, 1, 1, 0} {
		per, err := watchedRest(ctx, t, who == 1)
		if err != nil {
			return err
		}
		rest[who] += per / 2
	}
	looking := max(rest[1]-rest[0], 0)
	t.say("at rest the server takes %s CPU a second alone, %s watched", report.FormatValue(rest[0], "s"), report.FormatValue(rest[1], "s"))
	t.figure(report.Figure{Name: "watched_rest", Label: "server CPU a second to be watched, without messages", Unit: "s", Better: report.Lower, Value: looking})
	spec := load.TrafficSpec{Rate: t.opt.MsgRate, Warmup: t.opt.Warmup, Duration: t.opt.Duration, Size: t.opt.Size}
	var alone, looked, ratios []float64
	for pair := range t.opt.Steps {
		var cost [2]float64 // alone, watched
		for half := range cost {
			who := (pair + half) % 2
			per, err := watchedPart(ctx, t, spec, who == 1)
			if err != nil {
				return err
			}
			cost[who] = per
		}
		alone, looked, ratios = append(alone, cost[0]), append(looked, cost[1]), append(ratios, cost[1]/cost[0])
		t.say("pair %d of %d: server CPU %s per message alone, %s watched: × %.3f", pair+1, t.opt.Steps,
			report.FormatValue(cost[0], "s"), report.FormatValue(cost[1], "s"), cost[1]/cost[0])
	}
	for _, f := range []struct {
		name, label, unit string
		values            []float64
	}{
		{"watched_alone", "server CPU per message, nobody looks", "s", alone},
		{"watched_looked", "server CPU per message, watched", "s", looked},
		{"watched_ratio", "watched against alone, median of the pairs", "×", ratios},
	} {
		mid, low, high := median(f.values)
		t.figure(report.Figure{Name: f.name, Label: f.label, Unit: f.unit, Better: report.Lower, Value: mid, Low: low, High: high})
	}
	// What looking costs by itself, against what the messages cost: unlike the
	// ratio of the pairs this does not depend on how busy the machine is otherwise.
	cpu, _, _ := median(alone)
	t.figure(report.Figure{Name: "watched_share", Label: "that, against the messages of a second", Unit: "%", Better: report.Lower, Value: looking / (cpu * t.opt.MsgRate)})
	return nil
}

// watchedRest returns the CPU that the server takes in a second without
// messages.
func watchedRest(ctx context.Context, t *trial, look bool) (perSecond float64, err error) {
	stop := func() error { return nil }
	if look {
		if stop, err = t.server.Watch(ctx); err != nil {
			return 0, err
		}
	}
	t.rec.enter("rest")
	before, err := t.proc.RunTime(t.server.PID)
	err = errors.Join(err, at(ctx, load.Now()+int64(t.opt.Duration)))
	after, gone := t.proc.RunTime(t.server.PID)
	if err = errors.Join(err, gone, stop()); err != nil {
		return 0, err
	}
	return (after - before).Seconds() / t.opt.Duration.Seconds(), nil
}

// watchedPart returns the server's CPU per message of one part.
func watchedPart(ctx context.Context, t *trial, spec load.TrafficSpec, look bool) (perMessage float64, err error) {
	name := "alone"
	if look {
		name = "watched"
		stop, err := t.server.Watch(ctx)
		if err != nil {
			return 0, err
		}
		defer func() {
			if fault := stop(); fault != nil && err == nil && ctx.Err() == nil {
				t.fault("see the server's log", "the server could not be watched: %v", fault)
			}
		}()
	}
	r, phase, err := t.drive(ctx, name, spec)
	if usable, fault := t.judge(phase, r, err); !usable || fault != nil {
		return 0, fault
	}
	if phase.PerMessage <= 0 {
		return 0, errors.New("the server's CPU is not known: it must run on this machine")
	}
	return phase.PerMessage, nil
}

// median returns the median and its 95 % confidence interval by order
// statistics, which supposes nothing of the distribution. With fewer than 6
// values that is all of them.
func median(values []float64) (mid, low, high float64) {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	if n == 0 {
		return 0, 0, 0
	}
	mid = (v[(n-1)/2] + v[n/2]) / 2
	k := int(math.Floor((float64(n) - 1.96*math.Sqrt(float64(n))) / 2))
	k = max(k, 0)
	return mid, v[k], v[n-1-k]
}
