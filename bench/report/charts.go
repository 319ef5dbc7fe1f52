package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// chart is one picture of the page. The page's script gives axes and tooltips
// their units, which keeps functions out of the options.
type chart struct {
	ID      string
	Title   string
	Note    string
	Height  int            // pixels
	Small   bool           // two stand side by side
	Options map[string]any // of ECharts
	UnitX   string         // as Figure.Unit, or "percentile"
	UnitY   string
	UnitY2  string
}

// colours: the first server stands out, the others are told apart.
var colours = []string{"#0f9d8a", "#e4572e", "#4a6fdc", "#d49a00", "#9a4fb8", "#5b6b7a", "#c2417c", "#7a9a2e"}

// pictures draws what the result holds data for.
func (r *Result) pictures() []chart {
	var out []chart
	for _, draw := range []func() (chart, bool){r.memoryCurve, r.memoryBars} {
		if c, ok := draw(); ok {
			out = append(out, c)
		}
	}
	for i, name := range r.latencyNames() {
		if c, ok := r.latencyCurve(i, name); ok {
			out = append(out, c)
		}
	}
	if len(out) == 0 || out[0].ID != "memory" {
		out = append(out, r.figureBars()...)
	}
	for i, t := range r.Targets {
		if c, ok := t.timeline(i); ok {
			out = append(out, c)
		}
	}
	return out
}

// line makes a chart over two numeric axes.
func line(x opts.XAxis, y opts.YAxis) *charts.Line {
	l := charts.NewLine()
	l.SetGlobalOptions(
		charts.WithColorsOpts(colours),
		charts.WithAnimation(false),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(true), Top: "0"}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithGridOpts(opts.Grid{Left: "12", Right: "32", Top: "48", Bottom: "36", ContainLabel: opts.Bool(true)}),
		charts.WithXAxisOpts(x), charts.WithYAxisOpts(y))
	return l
}

func axisName(name string) opts.XAxis {
	return opts.XAxis{Type: "value", Name: name, NameLocation: "middle", NameGap: 28, Scale: opts.Bool(false), SplitLine: &opts.SplitLine{Show: opts.Bool(false)}}
}

func options(l *charts.Line) map[string]any {
	l.Validate()
	return l.JSON()
}

// memoryCurve is RSS against connections, one line per server. Rounds are
// joined in the order of connections, so that a line shows their spread.
func (r *Result) memoryCurve() (chart, bool) {
	l := line(axisName("connections"), opts.YAxis{Type: "value"})
	any := false
	for i, t := range r.Targets {
		if t.Memory == nil || len(t.Memory.Points) == 0 {
			continue
		}
		any = true
		byRound := make(map[int][]opts.LineData)
		rounds := 0
		for _, p := range t.Memory.Points {
			byRound[p.Round] = append(byRound[p.Round], opts.LineData{Value: []float64{float64(p.Conns), float64(p.Memory.RSS)}})
			rounds = max(rounds, p.Round)
		}
		colour := colours[i%len(colours)]
		for round := 1; round <= rounds; round++ {
			width := float32(2.5)
			if round > 1 {
				width = 1
			}
			l.AddSeries(t.Name, byRound[round],
				charts.WithLineChartOpts(opts.LineChart{Symbol: "circle", SymbolSize: 5, ShowSymbol: opts.Bool(round == 1)}),
				charts.WithLineStyleOpts(opts.LineStyle{Width: width, Color: colour}),
				charts.WithItemStyleOpts(opts.ItemStyle{Color: colour}))
		}
	}
	return chart{
		ID: "memory", Title: "RSS against connections", Height: 380, Options: options(l), UnitX: "count", UnitY: "B",
		Note: "Settled readings of the server's process tree; thin lines are further rounds.",
	}, any
}

// memoryBars is bytes per connection, the process below and the kernel above.
func (r *Result) memoryBars() (chart, bool) {
	var names []string
	var process, kernel []opts.BarData
	for i, t := range r.Targets {
		if t.Memory == nil || t.Memory.RSS.N == 0 {
			continue
		}
		names = append(names, t.Name)
		process = append(process, opts.BarData{Value: math.Round(t.Memory.RSS.PerConn), ItemStyle: &opts.ItemStyle{Color: colours[i%len(colours)]}})
		kernel = append(kernel, opts.BarData{Value: math.Round(t.Memory.Kernel)})
	}
	b := bars(names)
	b.AddSeries("process", process, charts.WithBarChartOpts(opts.BarChart{Stack: "all"}))
	b.AddSeries("kernel, server's socket", kernel, charts.WithBarChartOpts(opts.BarChart{Stack: "all"}),
		charts.WithItemStyleOpts(opts.ItemStyle{Color: "#aab4bd"}))
	b.Validate()
	return chart{
		ID: "perconn", Title: "Bytes per connection", Height: 380, Options: b.JSON(), UnitX: "name", UnitY: "B",
		Note: "Slope of RSS over all connection counts, and what the kernel keeps for a socket, which no server can avoid.",
	}, len(names) > 0
}

func bars(names []string) *charts.Bar {
	b := charts.NewBar()
	b.SetGlobalOptions(
		charts.WithColorsOpts(colours),
		charts.WithAnimation(false),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(true), Top: "0"}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithGridOpts(opts.Grid{Left: "12", Right: "24", Top: "48", Bottom: "12", ContainLabel: opts.Bool(true)}),
		charts.WithXAxisOpts(opts.XAxis{Type: "category"}), charts.WithYAxisOpts(opts.YAxis{Type: "value"}))
	b.SetXAxis(names)
	return b
}

// latencyNames lists the distributions that any server has, in order.
func (r *Result) latencyNames() (out []string) {
	for _, t := range r.Targets {
		for _, l := range t.Latencies {
			if !slices.Contains(out, l.Name) {
				out = append(out, l.Name)
			}
		}
	}
	return out
}

// latencyCurve is one distribution of every server, by percentile. The axis is
// the number of nines, 1/(1−p) on a logarithmic scale, so that the tail has
// the room it deserves.
func (r *Result) latencyCurve(n int, name string) (chart, bool) {
	x := axisName("percentile")
	x.Type, x.Min = "log", 1
	l := line(x, opts.YAxis{Type: "log"})
	any := false
	for i, t := range r.Targets {
		for _, lat := range t.Latencies {
			var data []opts.LineData
			for _, p := range lat.Curve {
				if p.Percentile < 100 && p.Value > 0 {
					data = append(data, opts.LineData{Value: []float64{1 / (1 - p.Percentile/100), float64(p.Value) / 1e9}})
				}
			}
			if lat.Name != name || len(data) < 2 {
				continue
			}
			any = true
			l.AddSeries(t.Name, data,
				charts.WithLineChartOpts(opts.LineChart{ShowSymbol: opts.Bool(false)}),
				charts.WithLineStyleOpts(opts.LineStyle{Width: 2, Color: colours[i%len(colours)]}),
				charts.WithItemStyleOpts(opts.ItemStyle{Color: colours[i%len(colours)]}))
		}
	}
	return chart{
		ID: fmt.Sprintf("latency-%d", n), Title: "Latency by percentile: " + name, Height: 360, Options: options(l), UnitX: "percentile", UnitY: "s",
		Note: "Both axes are logarithmic. Latency counts from the time at which a message was due.",
	}, any
}

// maxFigureBars keeps the page to what a reader can take in.
const maxFigureBars = 8

// figureBars compares the servers by the figures that have a direction, when
// there are several servers.
func (r *Result) figureBars() []chart {
	var out []chart
	if len(r.Targets) < 2 {
		return nil
	}
	for _, f := range r.figures() {
		if f.Better == Neutral || len(out) == maxFigureBars {
			continue
		}
		var names []string
		var data []opts.BarData
		for i, t := range r.Targets {
			if g, ok := t.Figure(f.Name); ok {
				names = append(names, t.Name)
				data = append(data, opts.BarData{Value: g.Value, ItemStyle: &opts.ItemStyle{Color: colours[i%len(colours)]}})
			}
		}
		b := bars(names)
		b.SetGlobalOptions(charts.WithLegendOpts(opts.Legend{Show: opts.Bool(false)}))
		b.AddSeries(f.Label, data, charts.WithBarChartOpts(opts.BarChart{}))
		b.Validate()
		out = append(out, chart{ID: "figure-" + f.Name, Title: f.Label, Height: 200, Small: true, Options: b.JSON(), UnitX: "name", UnitY: f.Unit,
			Note: map[Better]string{Lower: "Lower is better.", Higher: "Higher is better."}[f.Better]})
	}
	return out
}

// timeline is what happened when: memory, and messages if there were any, or
// else connections.
func (t *Target) timeline(i int) (chart, bool) {
	second, value := "connections", func(s Sample) float64 { return float64(s.Open) }
	if slices.ContainsFunc(t.Timeline, func(s Sample) bool { return s.Received > 0 }) {
		second, value = "messages/s", func(s Sample) float64 { return s.Received }
	}
	l := line(axisName(""), opts.YAxis{Type: "value", Name: "RSS"})
	l.ExtendYAxis(opts.YAxis{Type: "value", Name: second, SplitLine: &opts.SplitLine{Show: opts.Bool(false)}})
	var rss, other []opts.LineData
	for _, s := range t.Timeline {
		rss = append(rss, opts.LineData{Value: []float64{s.At, float64(s.RSS)}})
		other = append(other, opts.LineData{Value: []float64{s.At, value(s)}})
	}
	colour := colours[i%len(colours)]
	l.AddSeries("RSS", rss, charts.WithLineChartOpts(opts.LineChart{ShowSymbol: opts.Bool(false)}),
		charts.WithLineStyleOpts(opts.LineStyle{Width: 2, Color: colour}), charts.WithItemStyleOpts(opts.ItemStyle{Color: colour}),
		charts.WithAreaStyleOpts(opts.AreaStyle{Color: colour, Opacity: opts.Float(0.12)}),
		charts.WithMarkAreaData(t.phases()...))
	l.AddSeries(second, other, charts.WithLineChartOpts(opts.LineChart{ShowSymbol: opts.Bool(false), YAxisIndex: 1}),
		charts.WithLineStyleOpts(opts.LineStyle{Width: 1.5, Type: "dashed", Color: "#7a8794"}), charts.WithItemStyleOpts(opts.ItemStyle{Color: "#7a8794"}))
	return chart{ID: fmt.Sprintf("timeline-%d", i), Title: t.Name + ": the run", Height: 260, Small: true,
		Options: options(l), UnitX: "seconds", UnitY: "B", UnitY2: "count"}, len(t.Timeline) > 1
}

// maxBands keeps the bands of a timeline apart.
const maxBands = 8

// phases are the bands behind a timeline.
func (t *Target) phases() [][]opts.MarkAreaData {
	if len(t.Phases) > maxBands {
		return nil
	}
	var out [][]opts.MarkAreaData
	for i, p := range t.Phases {
		tint := []string{"rgba(120,135,150,0.10)", "rgba(120,135,150,0.18)"}[i%2]
		out = append(out, []opts.MarkAreaData{
			{Name: p.Name, XAxis: p.Start, MarkAreaStyle: opts.MarkAreaStyle{
				ItemStyle: &opts.ItemStyle{Color: tint}, Label: &opts.Label{Position: "top", Color: "#7a8794"},
			}},
			{XAxis: p.Start + p.Seconds},
		})
	}
	return out
}
