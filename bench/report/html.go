package report

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

//go:embed assets/echarts.common.min.js.gz
var echarts []byte

//go:embed page.html.tmpl
var pageText string

// WriteHTML writes the result as one page that needs no network.
func (r *Result) WriteHTML(path string) error {
	page, err := r.HTML()
	if err != nil {
		return err
	}
	return os.WriteFile(path, page, 0o644)
}

// HTML is the page.
func (r *Result) HTML() ([]byte, error) {
	unpack, err := gzip.NewReader(bytes.NewReader(echarts))
	if err != nil {
		return nil, fmt.Errorf("charts of the page: %w", err)
	}
	script, err := io.ReadAll(unpack)
	if err != nil {
		return nil, fmt.Errorf("charts of the page: %w", err)
	}
	page, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	pictures := r.pictures()
	data, err := json.Marshal(pictures)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{
		"R": r, "Charts": pictures, "Table": r.rows(), "Cards": r.cards(), "Notes": r.pageNotes(),
		"When": r.Started.UTC().Format("2 January 2006, 15:04 UTC"), "Took": r.Finished.Sub(r.Started).Round(time.Second),
		"Memory": FormatValue(float64(r.Machine.Memory), "B"), "Command": strings.Join(r.Tool.Command, " "),
		"Sysctls": slices.Sorted(maps.Keys(r.Machine.Sysctls)),
		// json.Marshal escapes <, > and &, so the data cannot end the script.
		"Data": template.JS(data), "ECharts": template.JS(script),
	})
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return out.Bytes(), nil
}

// card is the headline of one server.
type card struct {
	Name, Colour, Value, Label, Versus string
	Faulty                             bool
}

// headlines is the figure that answers a scenario's question.
var headlines = map[string]string{
	"idle": "rss_per_conn", "connect": "connect_rate", "echo": "throughput", "fanout": "fanout_10_cpu",
	"uplink": "uplink_rate", "storm": "storm_all_back", "slow": "slow_rss_per_client", "soak": "soak_rss_slope",
}

func (r *Result) cards() []card {
	var out []card
	for i, t := range r.Targets {
		c := card{Name: t.Name, Colour: colours[i%len(colours)], Faulty: !t.Complete, Value: "–", Label: "not measured"}
		f, ok := t.Figure(headlines[r.Scenario])
		if !ok && len(t.Figures) > 0 {
			f, ok = t.Figures[0], true
		}
		if ok {
			c.Value, c.Label = f.Format(), f.Label
			if base, ok := r.Targets[0].Figure(f.Name); ok && i > 0 && base.Value > 0 {
				c.Versus = fmt.Sprintf("%s × %s", trim(f.Value/base.Value), r.Targets[0].Name)
			}
		}
		out = append(out, c)
	}
	return out
}

// pageNote is what has to be said about one server.
type pageNote struct {
	Name   string
	Lines  []string
	Faults []Fault
}

func (r *Result) pageNotes() []pageNote {
	var out []pageNote
	for _, t := range r.Targets {
		var text bytes.Buffer
		p := &printer{w: &text}
		p.notes(&Target{Name: t.Name, Client: t.Client, After: t.After, Network: t.Network, Errors: t.Errors})
		var lines []string
		for line := range strings.Lines(text.String()) {
			line = strings.TrimSpace(strings.TrimPrefix(line, t.Name+": "))
			if line != "" {
				lines = append(lines, line)
			}
		}
		out = append(out, pageNote{t.Name, lines, t.Faults})
	}
	return out
}
