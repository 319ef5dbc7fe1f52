package report

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fieldNames lists the JSON names of all fields below t.
func fieldNames(t reflect.Type, seen map[reflect.Type]bool, out map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		fieldNames(t.Elem(), seen, out)
	case reflect.Struct:
		if seen[t] || t == reflect.TypeFor[time.Time]() {
			return
		}
		seen[t] = true
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			out[name] = true
			fieldNames(f.Type, seen, out)
		}
	}
}

func TestSchemaDocumentsEveryField(t *testing.T) {
	text, err := os.ReadFile("SCHEMA.md")
	require.NoError(t, err)
	require.Contains(t, string(text), Schema)
	documented := make(map[string]bool)
	for _, m := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	names := make(map[string]bool)
	fieldNames(reflect.TypeFor[Result](), make(map[reflect.Type]bool), names)
	require.Greater(t, len(names), 80)
	for name := range names {
		require.NotEmpty(t, name, "a field without a JSON name")
		require.True(t, documented[name], "SCHEMA.md does not say what %q is", name)
	}
}

// sample is a small result of two servers with every kind of chart.
func sample() *Result {
	target := func(name string, per float64) *Target {
		t := &Target{Name: name, URL: "ws://127.0.0.1:1/ws", Complete: true, Errors: map[string]uint64{"reset": 2, "http_503": 1}}
		t.Memory = &Memory{RSS: Slope{PerConn: per, N: 4}, Kernel: 3700}
		for i := 1; i <= 4; i++ {
			p := Point{Round: 1, Conns: 1000 * i, Settled: true}
			p.Memory.RSS = uint64(10e6 + per*float64(p.Conns))
			t.Memory.Points = append(t.Memory.Points, p)
			t.Timeline = append(t.Timeline, Sample{At: float64(i), Phase: "settle", Open: p.Conns, RSS: p.Memory.RSS})
		}
		t.Latencies = []Latency{{Name: "echo", Count: 100, P: map[string]int64{"50": 1e5}, Curve: []CurvePoint{{50, 1e5}, {90, 2e5}, {99, 4e6}, {100, 5e6}}}}
		t.Broadcasts = []Broadcast{{InFlight: 1, Delivered: 10, Expected: 10, TookNanos: 5e6}, {InFlight: 1, Delivered: 10, Expected: 10, TookNanos: 6e6}}
		t.Figures = []Figure{
			{Name: "rss_per_conn", Label: "RSS per connection (slope)", Unit: "B", Value: per, Low: per - 20, High: per + 20, Better: Lower},
			{Name: "throughput", Label: "echoes per second", Unit: "/s", Value: 1e6 / per, Better: Higher},
			{Name: "conns", Label: "connections", Unit: "count", Value: 4000},
		}
		return t
	}
	return &Result{
		Schema: Schema, Scenario: "idle", Question: "How many bytes does one idle connection cost the server?",
		Tool:    Tool{Version: "v0", Go: "go1.26", Command: []string{"limpet", "bench", "idle", `--x=</script><b>`}},
		Started: time.Unix(0, 0), Finished: time.Unix(60, 0), Complete: true,
		Settings: Settings{Conns: 4000},
		Targets:  []*Target{target("limpet", 600), target("gin", 15000)},
	}
}

func TestResultSurvivesJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	r := sample()
	require.NoError(t, r.WriteJSON(path))
	got, err := Read(path)
	require.NoError(t, err)
	require.Equal(t, r.Targets, got.Targets)
	require.Equal(t, r.Settings, got.Settings)
}

func TestReadRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"other.json": `{"schema":"limpet-bench/999"}`, "none.json": `{}`, "broken.json": `{"schema"`,
		"null.json": `{"schema":"` + Schema + `","targets":[null]}`} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		_, err := Read(path)
		require.ErrorIs(t, err, ErrSchema, name)
	}
}

func TestTableShowsFiguresRatiosAndFaults(t *testing.T) {
	r := sample()
	r.Targets[1].Faults = []Fault{{Message: "it died", Advice: "see its log"}}
	r.Interrupted = true
	var out bytes.Buffer
	require.NoError(t, r.WriteTable(&out))
	lines := strings.Split(out.String(), "\n")
	require.Contains(t, lines, "RSS per connection (slope)      600 B ±20 B  14.6 KiB ±20 B")
	require.Contains(t, lines, "  × RSS per connection (slope)         1.00           25.00")
	require.Contains(t, lines, "echoes per second                   1,667/s          66.7/s")
	require.Contains(t, out.String(), "FAULT: it died\n         see its log")
	require.Contains(t, out.String(), "error: http_503 × 1\n  error: reset × 2")
	require.Contains(t, out.String(), "interrupted")
	require.NotContains(t, out.String(), "× connections", "a figure without a direction has no ratio")
}

func TestPageIsOneFileAndSafe(t *testing.T) {
	page, err := sample().HTML()
	require.NoError(t, err)
	text := string(page)
	for _, id := range []string{"memory", "perconn", "latency-0", "timeline-0", "timeline-1"} {
		require.Contains(t, text, `id="`+id+`"`)
	}
	// Nothing is fetched: no element or style that names another file.
	markup := regexp.MustCompile(`(?s)<script>.*?</script>`).ReplaceAllString(text, "")
	require.NotRegexp(t, `(?i)(src|href)\s*=|@import|url\(`, markup)
	require.NotContains(t, text, "</script><b>", "the command line must not end the script")
	require.Contains(t, markup, "&lt;/script&gt;&lt;b&gt;")
	require.Greater(t, len(page), 600_000, "the charts' library is inside")
}

func TestCompareFindsWhatGotWorse(t *testing.T) {
	before, after := sample(), sample()
	after.Targets[1].Figures[0].Value *= 1.10 // 10 % more memory
	after.Targets[1].Figures[0].Low *= 1.10
	after.Targets[1].Figures[0].High *= 1.10
	after.Targets[0].Figures[1].Value *= 0.90 // 10 % less throughput
	changes, err := Compare(before, after)
	require.NoError(t, err)
	require.Len(t, changes, 4, "two servers with two figures that have a direction")
	var out bytes.Buffer
	err = WriteChanges(&out, before, after, changes, 0.05)
	require.ErrorIs(t, err, ErrRegression)
	require.ErrorContains(t, err, "2 of 4 figures")
	require.Equal(t, 2, strings.Count(out.String(), "WORSE"))
	require.NoError(t, WriteChanges(&out, before, after, changes, 0.11))
}

func TestCompareLeavesOpenWhatTheIntervalsDo(t *testing.T) {
	before, after := sample(), sample()
	f := &after.Targets[0].Figures[0]
	f.Value, f.Low, f.High = 639, 615, 663 // 580–620 before: they meet
	changes, err := Compare(before, after)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, WriteChanges(&out, before, after, changes, 0.05))
	require.Contains(t, out.String(), "within the confidence intervals")
	f.Low = 625
	changes, err = Compare(before, after)
	require.NoError(t, err)
	require.ErrorIs(t, WriteChanges(&out, before, after, changes, 0.05), ErrRegression)
}

// A count that was zero has no ratio, and is worse all the same once it is not.
func TestCompareFindsWhatWasZero(t *testing.T) {
	before, after := sample(), sample()
	refused := Figure{Name: "storm_refusals", Label: "refused dials, tried again", Unit: "count", Better: Lower}
	before.Targets[0].Figures = append(before.Targets[0].Figures, refused)
	after.Targets[0].Figures = append(after.Targets[0].Figures, refused)
	var out bytes.Buffer
	changes, err := Compare(before, after)
	require.NoError(t, err)
	require.NoError(t, WriteChanges(&out, before, after, changes, 0), "zero is no worse than zero")
	after.Targets[0].Figures[len(after.Targets[0].Figures)-1].Value = 500
	changes, err = Compare(before, after)
	require.NoError(t, err)
	require.ErrorIs(t, WriteChanges(&out, before, after, changes, 10), ErrRegression)
	require.Regexp(t, `refused dials, tried again +0 +500 +- +WORSE`, out.String())
	changes, err = Compare(after, before)
	require.NoError(t, err)
	require.NoError(t, WriteChanges(&out, after, before, changes, 0), "fewer is better")
}

// What only one result has cannot get worse, so it is said.
func TestCompareSaysWhatIsMissing(t *testing.T) {
	before, after := sample(), sample()
	after.Targets = after.Targets[:1]
	after.Targets[0].Figures = after.Targets[0].Figures[1:]
	changes, err := Compare(before, after)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, WriteChanges(&out, before, after, changes, 0.05))
	require.Contains(t, out.String(), "differs: server "+before.Targets[1].Name+", only before")
	require.Contains(t, out.String(), "differs: "+after.Targets[0].Name+" RSS per connection (slope), only before")
	out.Reset()
	changes, err = Compare(after, before)
	require.NoError(t, err)
	require.NoError(t, WriteChanges(&out, after, before, changes, 0.05))
	require.Contains(t, out.String(), "server "+before.Targets[1].Name+", only after")
}

// Two results of one server each are compared whatever it is called: a target
// that runs already is named by its address, which changes.
func TestCompareTakesTheOnlyServers(t *testing.T) {
	before, after := sample(), sample()
	before.Targets, after.Targets = before.Targets[:1], after.Targets[1:]
	changes, err := Compare(before, after)
	require.NoError(t, err)
	require.Len(t, changes, 2)
	var out bytes.Buffer
	require.Error(t, WriteChanges(&out, before, after, changes, 0.05))
	require.Contains(t, out.String(), "differs: server, "+before.Targets[0].Name+" before and "+after.Targets[0].Name+" after")
}

func TestCompareRefusesWhatDoesNotCompare(t *testing.T) {
	other := sample()
	other.Scenario = "echo"
	_, err := Compare(sample(), other)
	require.ErrorIs(t, err, ErrIncomparable)
	partial := sample()
	partial.Complete = false
	_, err = Compare(sample(), partial)
	require.ErrorIs(t, err, ErrIncomparable)
	strangers := sample()
	strangers.Targets[0].Name, strangers.Targets[1].Name = "a", "b"
	_, err = Compare(sample(), strangers)
	require.ErrorIs(t, err, ErrIncomparable)
}

func TestCompareSaysWhatDiffers(t *testing.T) {
	before, after := sample(), sample()
	after.Settings.Conns, after.Machine.Kernel = 8000, "7.0"
	changes, err := Compare(before, after)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, WriteChanges(&out, before, after, changes, 0.05))
	require.Contains(t, out.String(), "differs: connections, 4000 before and 8000 after")
	require.Contains(t, out.String(), "differs: kernel")
}

// Every setting shapes the load, so that none may differ in silence.
func TestCompareSaysEverySettingThatDiffers(t *testing.T) {
	settings := reflect.TypeFor[Settings]()
	for i := range settings.NumField() {
		before, after := sample(), sample()
		switch f := reflect.ValueOf(&after.Settings).Elem().Field(i); f.Kind() {
		case reflect.Int:
			f.SetInt(f.Int() + 1)
		case reflect.Uint64:
			f.SetUint(f.Uint() + 1)
		case reflect.Float64:
			f.SetFloat(f.Float() + 1)
		default:
			f.Set(reflect.ValueOf([]int{99}))
		}
		require.Len(t, differences(before, after), 1, settings.Field(i).Name)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		v          float64
		unit, want string
	}{
		{612.4, "B", "612 B"}, {9999, "B", "9,999 B"}, {18022, "B", "17.6 KiB"}, {140 << 20, "B", "140 MiB"}, {1.5 * (1 << 30), "B", "1.50 GiB"},
		{0, "s", "0 s"}, {12.1e-6, "s", "12.1 µs"}, {0.0025, "s", "2.50 ms"}, {12, "s", "12.0 s"},
		{1234567.8, "/s", "1,234,568/s"}, {-15000, "count", "-15,000"}, {15, "count", "15"}, {0.031, "%", "3.10 %"},
	} {
		require.Equal(t, c.want, FormatValue(c.v, c.unit))
	}
}
