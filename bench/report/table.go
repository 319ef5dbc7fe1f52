package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// WriteTable writes the result for a terminal: one column per server, one
// line per figure, ratios to the first server, then what the client cost and
// what went wrong.
func (r *Result) WriteTable(w io.Writer) error {
	out := &printer{w: w}
	out.line("%s: %s", r.Scenario, r.Question)
	out.line("%s, %d cores, %s, Linux %s, %s", r.Machine.CPU, r.Machine.Cores,
		FormatValue(float64(r.Machine.Memory), "B"), r.Machine.Kernel, r.Tool.Go)
	out.line("")
	out.rows(r.rows())
	for _, t := range r.Targets {
		out.notes(t)
	}
	if r.Interrupted {
		out.line("interrupted: what was measured until then is above")
	}
	return out.err
}

// rows is the table: a heading, figures, ratios.
func (r *Result) rows() [][]string {
	head := []string{""}
	for _, t := range r.Targets {
		head = append(head, t.Name)
	}
	rows := [][]string{head}
	for _, f := range r.figures() {
		row := []string{f.Label}
		for _, t := range r.Targets {
			row = append(row, t.cell(f.Name))
		}
		rows = append(rows, row)
	}
	for _, ratio := range r.Ratios() {
		row := []string{"  × " + ratio.Label}
		for _, v := range ratio.Values {
			if v == 0 {
				row = append(row, "-")
				continue
			}
			row = append(row, fmt.Sprintf("%.2f", v))
		}
		rows = append(rows, row)
	}
	return rows
}

// figures lists each figure that any server has, in order.
func (r *Result) figures() []Figure {
	var out []Figure
	seen := make(map[string]bool)
	for _, t := range r.Targets {
		for _, f := range t.Figures {
			if !seen[f.Name] {
				seen[f.Name] = true
				out = append(out, f)
			}
		}
	}
	return out
}

func (t *Target) cell(name string) string {
	f, ok := t.Figure(name)
	if !ok {
		return "-"
	}
	if f.Low == 0 && f.High == 0 {
		return f.Format()
	}
	return fmt.Sprintf("%s ±%s", f.Format(), strings.TrimSpace(FormatValue((f.High-f.Low)/2, f.Unit)))
}

// Ratio compares one figure of every server with the first server's.
type Ratio struct {
	Name   string
	Label  string
	Values []float64 // 0: not measured
}

// Ratios lists the comparable figures when there are several servers.
func (r *Result) Ratios() []Ratio {
	if len(r.Targets) < 2 {
		return nil
	}
	var out []Ratio
	for _, f := range r.figures() {
		base, ok := r.Targets[0].Figure(f.Name)
		if f.Better == Neutral || !ok || base.Value == 0 {
			continue
		}
		ratio := Ratio{Name: f.Name, Label: f.Label}
		for _, t := range r.Targets {
			v := 0.0
			if g, ok := t.Figure(f.Name); ok {
				v = g.Value / base.Value
			}
			ratio.Values = append(ratio.Values, v)
		}
		out = append(out, ratio)
	}
	return out
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// rows prints columns as wide as they need; the first is flush left.
func (p *printer) rows(rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + pad)
				continue
			}
			b.WriteString("  " + pad + cell)
		}
		p.line("%s", strings.TrimRight(b.String(), " "))
	}
	p.line("")
}

// notes prints what does not fit a column.
func (p *printer) notes(t *Target) {
	c := t.Client
	per := ""
	if c.RSSPerConn > 0 {
		per = ", " + FormatValue(c.RSSPerConn, "B") + " per connection"
	}
	p.line("%s: client %d process(es), %s CPU (server %s), RSS %s%s", t.Name, c.Processes,
		FormatValue(c.CPU, "s"), FormatValue(c.ServerCPU, "s"), FormatValue(float64(c.RSS), "B"), per)
	if m := t.After; m != nil {
		p.line("  metrics: %s goroutines, heap %s, %s collections, longest pause %s", group(float64(m.Goroutines)),
			FormatValue(float64(m.HeapAlloc), "B"), group(float64(m.GCs)), FormatValue(m.GCPauseMax.Seconds(), "s"))
	}
	n := t.Network
	p.line("  network: %+d TIME_WAIT, %d retransmits, %d accept-queue overflows, %d drops", n.TimeWait, n.Retransmits, n.ListenOverflows, n.ListenDrops+n.BacklogDrops)
	for _, why := range c.Why {
		p.line("  note: %s", why)
	}
	for _, kind := range slices.Sorted(maps.Keys(t.Errors)) {
		p.line("  error: %s × %s", kind, group(float64(t.Errors[kind])))
	}
	for _, f := range t.Faults {
		p.line("  FAULT: %s", f.Message)
		if f.Advice != "" {
			p.line("         %s", f.Advice)
		}
	}
	p.line("")
}
