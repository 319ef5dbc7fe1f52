package report

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Errors of Compare.
var (
	ErrIncomparable = errors.New("the results cannot be compared")
	ErrRegression   = errors.New("worse than allowed")
)

// Change is how one figure of one server differs between two results.
type Change struct {
	Target string
	Figure Figure  // as in the newer result
	Before float64 // in the older
	Ratio  float64 // newer / older; NaN or infinite where the older is 0
	Worse  float64 // share by which it got worse; negative: better; infinite where it was 0
}

// Compare matches the servers of two results of one scenario by name, or the
// only server of each, and their figures by name. Figures without a direction,
// and what only one result has, are left out. It fails with ErrIncomparable
// when the scenarios differ, a result is not complete, or nothing matches.
func Compare(before, after *Result) ([]Change, error) {
	if before.Scenario != after.Scenario {
		return nil, fmt.Errorf("%w: scenarios %s and %s", ErrIncomparable, before.Scenario, after.Scenario)
	}
	if !before.Complete || !after.Complete {
		return nil, fmt.Errorf("%w: one is of a run that is not complete", ErrIncomparable)
	}
	var out []Change
	for _, t := range after.Targets {
		old := counterpart(before, after, t)
		if old == nil {
			continue
		}
		for _, f := range t.Figures {
			was, ok := old.Figure(f.Name)
			if !ok || f.Better == Neutral {
				continue
			}
			c := Change{Target: t.Name, Figure: f, Before: was.Value, Ratio: f.Value / was.Value}
			if f.Value != was.Value {
				c.Worse = (f.Value - was.Value) / math.Abs(was.Value)
			}
			if f.Better == Higher {
				c.Worse = -c.Worse
			}
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: they have no server and figure in common", ErrIncomparable)
	}
	return out, nil
}

// counterpart returns the server of one result that t of the other, theirs, is
// compared with, or nil.
func counterpart(r, theirs *Result, t *Target) *Target {
	if len(r.Targets) == 1 && len(theirs.Targets) == 1 {
		return r.Targets[0]
	}
	return r.target(t.Name)
}

func (r *Result) target(name string) *Target {
	for _, t := range r.Targets {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// WriteChanges prints the comparison and fails with ErrRegression when a
// figure got worse by more than most, a share such as 0.05. A change that the
// two confidence intervals leave open is shown but is no regression. Settings
// or machines that differ are said first.
func WriteChanges(w io.Writer, before, after *Result, changes []Change, most float64) error {
	p := &printer{w: w}
	for _, d := range differences(before, after) {
		p.line("differs: %s", d)
	}
	rows := [][]string{{"", "before", "after", "ratio", ""}}
	var worse int
	for _, c := range changes {
		verdict := ""
		switch {
		case c.Worse > most && overlap(before, after, c):
			verdict = "worse, but within the confidence intervals"
		case c.Worse > most:
			verdict = "WORSE"
			worse++
		case c.Worse < -most:
			verdict = "better"
		}
		ratio := "-"
		if c.Before != 0 {
			ratio = fmt.Sprintf("%.3f", c.Ratio)
		}
		rows = append(rows, []string{c.Target + " " + c.Figure.Label, FormatValue(c.Before, c.Figure.Unit), c.Figure.Format(), ratio, verdict})
	}
	p.rows(rows)
	if p.err != nil {
		return p.err
	}
	if worse > 0 {
		return fmt.Errorf("%d of %d figures: %w (%s %%)", worse, len(changes), ErrRegression, trim(most*100))
	}
	return nil
}

// overlap says whether both figures have confidence intervals that meet.
func overlap(before, after *Result, c Change) bool {
	was, _ := counterpart(before, after, after.target(c.Target)).Figure(c.Figure.Name)
	now := c.Figure
	if was.Low == was.High || now.Low == now.High {
		return false
	}
	return was.Low <= now.High && now.Low <= was.High
}

// differences lists what may explain a change besides the code.
func differences(a, b *Result) []string {
	var out []string
	say := func(what string, x, y any) {
		if x != y {
			out = append(out, fmt.Sprintf("%s, %v before and %v after", what, x, y))
		}
	}
	say("CPU", a.Machine.CPU, b.Machine.CPU)
	say("cores", a.Machine.Cores, b.Machine.Cores)
	say("kernel", a.Machine.Kernel, b.Machine.Kernel)
	say("Go", a.Tool.Go, b.Tool.Go)
	say("connections", a.Settings.Conns, b.Settings.Conns)
	say("dials per second", a.Settings.Rate, b.Settings.Rate)
	say("messages per second", a.Settings.MsgRate, b.Settings.MsgRate)
	say("message size", a.Settings.Size, b.Settings.Size)
	say("duration in seconds", a.Settings.Seconds, b.Settings.Seconds)
	say("warm-up in seconds", a.Settings.Warmup, b.Settings.Warmup)
	say("seconds of patience", a.Settings.Timeout, b.Settings.Timeout)
	say("seed", a.Settings.Seed, b.Settings.Seed)
	say("steps", a.Settings.Steps, b.Settings.Steps)
	say("rounds", a.Settings.Rounds, b.Settings.Rounds)
	say("in flight", fmt.Sprint(a.Settings.InFlight), fmt.Sprint(b.Settings.InFlight))
	say("share that does not read", a.Settings.SlowShare, b.Settings.SlowShare)
	say("connections replaced per second", a.Settings.Churn, b.Settings.Churn)
	say("bytes of exercise", a.Settings.Exercise, b.Settings.Exercise)
	say("client processes at least", a.Settings.ClientsMin, b.Settings.ClientsMin)
	if len(a.Targets) == 1 && len(b.Targets) == 1 {
		say("server", a.Targets[0].Name, b.Targets[0].Name)
	}
	return append(append(out, missing(a, b, "only before")...), missing(b, a, "only after")...)
}

// missing lists what could be compared if other had it too.
func missing(r, other *Result, when string) []string {
	var out []string
	for _, t := range r.Targets {
		theirs := counterpart(other, r, t)
		if theirs == nil {
			out = append(out, fmt.Sprintf("server %s, %s", t.Name, when))
			continue
		}
		for _, f := range t.Figures {
			if _, ok := theirs.Figure(f.Name); !ok && f.Better != Neutral {
				out = append(out, fmt.Sprintf("%s %s, %s", t.Name, f.Label, when))
			}
		}
	}
	return out
}
