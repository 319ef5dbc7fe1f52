package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
)

// openShare is the part of the throughput at which latency is measured when
// no rate is asked for.
const openShare = 0.3

// echo measures throughput in a closed loop, then latency in an open one.
func echo(ctx context.Context, t *trial) error {
	if _, err := t.dial(ctx, t.opt.Conns); err != nil {
		return err
	}
	rate := t.opt.MsgRate
	r, phase, err := t.drive(ctx, "throughput", load.TrafficSpec{Warmup: t.opt.Warmup, Duration: t.opt.Duration, Size: t.opt.Size})
	if usable, fault := t.judge(phase, r, err); !usable {
		return fault
	}
	if phase.Messages > 0 {
		per := float64(phase.Messages) / phase.Seconds
		t.figure(report.Figure{Name: "throughput", Label: "echoes per second, closed loop", Unit: "/s", Better: report.Higher, Value: per})
		t.cpuFigure("cpu_per_message", "server CPU per message, closed loop", phase)
		if rate == 0 {
			rate = openShare * per
		}
		t.say("throughput %s, server CPU %s per message", report.FormatValue(per, "/s"), report.FormatValue(phase.PerMessage, "s"))
	}
	if err != nil {
		return err
	}
	if rate == 0 {
		t.fault("see the server's log", "%s answered none of %d messages", t.server.Name, r.Sent)
		return errFaults
	}
	r, phase, err = t.drive(ctx, "latency", load.TrafficSpec{Rate: rate, Warmup: t.opt.Warmup, Duration: t.opt.Duration, Size: t.opt.Size})
	t.latency("echo", r.Latency)
	if usable, fault := t.judge(phase, r, err); !usable {
		return fault
	}
	if phase.Messages > 0 {
		t.figure(report.Figure{Name: "open_rate", Label: "messages per second, open loop", Unit: "/s", Value: rate})
		t.cpuFigure("cpu_per_message_open", "server CPU per message, open loop", phase)
		t.percentiles("echo", "latency", r.Latency)
	}
	return err
}

// cpuFigure adds what a message cost the server.
func (t *trial) cpuFigure(name, label string, p report.Phase) {
	if p.PerMessage > 0 {
		t.figure(report.Figure{Name: name, Label: label, Unit: "s", Better: report.Lower, Value: p.PerMessage})
	}
}

// percentiles adds the usual figures of one distribution.
func (t *trial) percentiles(name, label string, h load.Hist) {
	for _, p := range []float64{50, 99, 99.9} {
		t.percentile(fmt.Sprintf("%s_p%g", name, p), fmt.Sprintf("%s p%g", label, p), h, p)
	}
	t.percentile(name+"_max", label+" max", h, 100)
}

// judge says whether the traffic may give figures. Losses and missing answers
// become faults; answers that an interruption cut off are none. err is how the
// traffic ended.
func (t *trial) judge(p report.Phase, r load.TrafficResult, err error) (usable bool, _ error) {
	if load.Total(r.Errors) > 0 {
		t.explain(r.Errors, "errors in "+p.Name)
		return false, errors.Join(errFaults, err)
	}
	if r.Unanswered > 0 && r.Answered == 0 && err == nil {
		t.fault("see whether the server answers each message with itself (for limpet: --uplink echo), and its log",
			"none of %d messages in %s had an answer %v after the end", r.Sent, p.Name, t.opt.Timeout)
		return false, errFaults
	}
	if r.Unanswered > 0 && err == nil {
		t.fault("the server is stuck or overloaded: see its log, lower --msg-rate, or raise --timeout",
			"%d of %d messages in %s had no answer %v after the end", r.Unanswered, r.Sent, p.Name, t.opt.Timeout)
		return false, errFaults
	}
	return true, err
}
