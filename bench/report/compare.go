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
	Ratio  float64 // newer / older
	Worse  float64 // share by which it got worse; negative: better
}

// Compare matches the servers of two results of one scenario by name, and
// their figures by name. Figures without a direction, and those of servers
// that only one result has, are left out. It fails with ErrIncomparable when
// the scenarios differ, a result is not complete, or nothing matches.
func Compare(before, after *Result) ([]Change, error) {
	if before.Scenario != after.Scenario {
		return nil, fmt.Errorf("%w: scenarios %s and %s", ErrIncomparable, before.Scenario, after.Scenario)
	}
	if !before.Complete || !after.Complete {
		return nil, fmt.Errorf("%w: one is of a run that is not complete", ErrIncomparable)
	}
	var out []Change
	for _, t := range after.Targets {
		old := before.target(t.Name)
		if old == nil {
			continue
		}
		for _, f := range t.Figures {
			was, ok := old.Figure(f.Name)
			if !ok || f.Better == Neutral || was.Value == 0 {
				continue
			}
			c := Change{Target: t.Name, Figure: f, Before: was.Value, Ratio: f.Value / was.Value}
			c.Worse = (f.Value - was.Value) / math.Abs(was.Value)
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
		case c.Worse > most && overlap(before, c):
			verdict = "worse, but within the confidence intervals"
		case c.Worse > most:
			verdict = "WORSE"
			worse++
		case c.Worse < -most:
			verdict = "better"
		}
		rows = append(rows, []string{c.Target + " " + c.Figure.Label, FormatValue(c.Before, c.Figure.Unit), c.Figure.Format(), fmt.Sprintf("%.3f", c.Ratio), verdict})
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
func overlap(before *Result, c Change) bool {
	was, _ := before.target(c.Target).Figure(c.Figure.Name)
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
	say("steps", a.Settings.Steps, b.Settings.Steps)
	return out
}
