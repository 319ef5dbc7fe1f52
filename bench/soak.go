package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
)

const (
	soakSlices  = 20              // readings at least
	soakSlice   = 2 * time.Minute // longest time between two
	soakWarmup  = 0.1             // of the time, left out of the slope
	soakMinimum = 2 * time.Second // of a slice
)

// soak runs mixed load slice by slice and reads memory after each.
func soak(ctx context.Context, t *trial) error {
	if _, err := t.dial(ctx, t.opt.Conns); err != nil {
		return err
	}
	slice := max(min(t.opt.Duration/soakSlices, soakSlice), soakMinimum)
	var (
		line    series // seconds, bytes
		latency = load.NewHist()
		total   load.TrafficResult
		failed  error
	)
	total.Errors = make(map[string]uint64)
	begun := time.Now()
	for n := 1; failed == nil && time.Since(begun) < t.opt.Duration; n++ {
		r, _, err := t.drive(ctx, "soak", load.TrafficSpec{
			Rate: t.opt.MsgRate, Duration: slice, Size: t.opt.Size, Churn: t.opt.Churn,
		})
		failed = err
		latency.Merge(r.Latency.Histogram)
		total.Sent += r.Sent
		total.Answered += r.Answered
		total.Unanswered += r.Unanswered
		total.Churned += r.Churned
		for k, n := range r.Errors {
			total.Errors[k] += n
		}
		if t.server.PID == 0 || ctx.Err() != nil {
			continue
		}
		m, err := t.proc.Memory(t.server.PID)
		if err != nil {
			failed = errors.Join(failed, t.server.Failure(), err)
			break
		}
		at := time.Since(begun)
		if at.Seconds() >= soakWarmup*t.opt.Duration.Seconds() {
			line.add(at.Seconds(), float64(m.RSS))
		}
		t.say("%v: RSS %s, %d connections, p99 so far %s", at.Round(time.Second), report.FormatValue(float64(m.RSS), "B"),
			t.fleet.Stats().Open, report.FormatValue(float64(latency.ValueAtPercentile(99))/1e9, "s"))
	}
	usable, err := t.judge(report.Phase{Name: "soak"}, total, failed)
	if usable {
		t.soakFigures(line, latency, total, time.Since(begun))
	}
	return err
}

const hour = 3600

func (t *trial) soakFigures(line series, latency load.Hist, total load.TrafficResult, took time.Duration) {
	switch {
	case len(line.x) < minSteps && t.server.PID != 0 && took >= t.opt.Duration: // not interrupted
		t.note("no growth of memory: %d readings after the first tenth, and a slope takes %d: raise --duration, at best to hours", len(line.x), minSteps)
	case len(line.x) >= minSteps:
		s := fit(line)
		t.figure(report.Figure{Name: "soak_rss_slope", Label: fmt.Sprintf("growth of RSS per hour (%d readings)", s.N), Unit: "B", Better: report.Lower,
			Value: s.PerConn * hour, Low: s.Low * hour, High: s.High * hour})
		t.figure(report.Figure{Name: "soak_rss", Label: "RSS at the end", Unit: "B", Better: report.Lower, Value: line.y[len(line.y)-1]})
	}
	t.latency("soak", latency)
	t.percentiles("soak", "latency", latency)
	t.figure(report.Figure{Name: "soak_answered", Label: "messages answered", Unit: "count", Value: float64(total.Answered)})
	t.figure(report.Figure{Name: "soak_churned", Label: "connections replaced", Unit: "count", Value: float64(total.Churned)})
	t.figure(report.Figure{Name: "soak_time", Label: "time", Unit: "s", Value: took.Seconds()})
}
