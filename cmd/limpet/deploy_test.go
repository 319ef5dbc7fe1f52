package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.yaml.in/yaml/v3"

	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// What deploy/ says about metrics is true of a gateway that has all of its
// parts: Prometheus reads every expression, and each names metrics and values
// of labels that are there.
func TestAlertsAndDashboardsSpeakOfWhatIsThere(t *testing.T) {
	alerts := filepath.Join("..", "..", "deploy", "prometheus", "alerts.yml")
	used := alertExpressions(t, alerts)
	for title, expr := range grafanaExpressions(t, filepath.Join("..", "..", "deploy", "grafana", "limpet.json")) {
		used[title] = expr
	}

	webhook := httptest.NewServer(http.HandlerFunc(believe))
	t.Cleanup(webhook.Close)
	p := startProcess(t, 0, "--auth=webhook", "--webhook-url="+webhook.URL, "--kafka="+startEmbedded(t), "--redis="+redistest.Start(t).URL(), "--drain-window=0s",
		"--accept-rate=100000", "--conns-per-ip=1000", "--memory-budget=8GiB")
	c := p.mustDial("dev1")
	p.mustDial("dev2")
	if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	p.want("POST", "/v1/push", `{"to":"user:dev1","data":"back"}`, 200)
	p.read(c, "back")

	// Some are there only once their subject is, as a partition's lag.
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		text, values := p.scrape()
		var wrong []string
		for title, expr := range used {
			wrong = append(wrong, missing(title, expr, text, values)...)
		}
		if !hasLagOf(values, "limpet.inbox") || !hasLagOf(values, "limpet.broadcast") || !hasLagOf(values, "limpet.downlink") {
			wrong = append(wrong, "a topic that is consumed has no lag")
		}
		if len(wrong) == 0 {
			promtool(t, text, "check", "metrics")
			break
		}
		if time.Now().After(deadline) {
			slices.Sort(wrong)
			t.Fatal(strings.Join(wrong, "\n"))
		}
	}
	promtool(t, "", "check", "rules", alerts)
	promtool(t, "", "test", "rules", filepath.Join(filepath.Dir(alerts), "alerts_test.yml"))
	promtool(t, "", "check", "rules", asRules(t, used))
}

// believe is a webhook to which clients are who they say they are: ?id=NAME.
func believe(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Query string }
	_ = json.NewDecoder(r.Body).Decode(&asked)
	_ = json.NewEncoder(w).Encode(map[string]string{"principal": strings.TrimPrefix(asked.Query, "id=")})
}

func hasLagOf(values map[string]float64, topic string) bool {
	for name := range values {
		if strings.HasPrefix(name, "limpet_kafka_lag_records{") && strings.Contains(name, `topic="`+topic+`"`) {
			return true
		}
	}
	return false
}

func alertExpressions(t *testing.T, file string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations struct{ Summary, Action string }
			}
		}
	}
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, g := range document.Groups {
		for _, r := range g.Rules {
			if r.Annotations.Summary == "" || r.Annotations.Action == "" {
				t.Errorf("alert %s does not say what is wrong and what to do", r.Alert)
			}
			all["alert "+r.Alert] = r.Expr
		}
	}
	if len(all) < 12 {
		t.Fatalf("%d alerts", len(all))
	}
	return all
}

// panel is what of a panel of Grafana can be wrong.
type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource *struct{ Type, UID string }
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct {
		Expr, RefID string
		Datasource  struct{ Type, UID string }
	}
}

// grafanaExpressions checks the dashboard's structure: it names no data source
// of one installation, no panel covers another, and what is a row has nothing to
// ask.
func grafanaExpressions(t *testing.T, file string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		ID            *int
		UID, Title    string
		SchemaVersion int
		Panels        []panel
		Templating    struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	if document.ID != nil || document.UID != "limpet" || document.Title == "" || document.SchemaVersion != 39 {
		t.Errorf("id %v, uid %q, title %q, schema %d", document.ID, document.UID, document.Title, document.SchemaVersion)
	}
	variables := map[string]string{}
	all := map[string]string{}
	for _, v := range document.Templating.List {
		variables[v.Name] = v.Type
		if v.Type == "query" {
			all["variable "+v.Name] = regexp.MustCompile(`\w+_\w+`).FindString(strings.TrimPrefix(v.Definition, "label_values"))
		}
	}
	if variables["datasource"] != "datasource" || variables["instance"] != "query" {
		t.Errorf("variables %v", variables)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range document.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d, %q: without a title or an id of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Errorf("panel %q covers %q, or leaves the page", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource == nil || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q asks nobody, or not the chosen data source", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" || target.Datasource.Type != "prometheus" {
				t.Errorf("panel %q: data source %+v", p.Title, target.Datasource)
			}
			all[fmt.Sprintf("panel %q, %s", p.Title, target.RefID)] = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr)
		}
	}
	if len(all) < 40 {
		t.Fatalf("%d expressions", len(all))
	}
	return all
}

var (
	metricName = regexp.MustCompile(`\b(?:limpet|go|process)_[a-z0-9_]+`)
	selector   = regexp.MustCompile(`\b((?:limpet|go|process)_[a-z0-9_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
)

// missing says what expr speaks of that a gateway does not have: metrics, and
// values that labels are asked to equal.
func missing(title, expr, text string, values map[string]float64) (wrong []string) {
	for _, name := range metricName.FindAllString(expr, -1) {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if short, ok := strings.CutSuffix(name, suffix); ok && strings.Contains(text, "# TYPE "+short+" histogram") {
				base = short
			}
		}
		if !strings.Contains(text, "# TYPE "+base+" ") {
			wrong = append(wrong, fmt.Sprintf("%s: there is no %s", title, name))
		}
	}
	for _, found := range selector.FindAllStringSubmatch(expr, -1) {
		for _, m := range matcher.FindAllStringSubmatch(found[2], -1) {
			there := false
			for series := range values {
				there = there || strings.HasPrefix(series, found[1]+"{") && strings.Contains(series, m[0])
			}
			if !there {
				wrong = append(wrong, fmt.Sprintf("%s: no %s has %s", title, found[1], m[0]))
			}
		}
	}
	return wrong
}

// asRules writes expressions as recording rules, which is what promtool reads.
func asRules(t *testing.T, expressions map[string]string) (file string) {
	t.Helper()
	type rule struct {
		Record string            `yaml:"record"`
		Expr   string            `yaml:"expr"`
		Labels map[string]string `yaml:"labels"`
	}
	var rules []rule
	for title, expr := range expressions {
		rules = append(rules, rule{fmt.Sprintf("check:n%d", len(rules)), expr, map[string]string{"of": title}})
	}
	content, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "check", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The checks themselves see what is wrong.
func TestMissingMetricsAreSeen(t *testing.T) {
	text := "# TYPE limpet_a_total counter\n# TYPE limpet_b_seconds histogram\n"
	values := map[string]float64{`limpet_a_total{reason="x"}`: 1}
	for expr, want := range map[string]int{
		`rate(limpet_a_total{reason="x"}[5m])`:                       0,
		`rate(limpet_a_total{reason="y"}[5m])`:                       1,
		`histogram_quantile(0.5, rate(limpet_b_seconds_bucket[5m]))`: 0,
		`limpet_a_total_bucket`:                                      1,
		`limpet_c + process_d`:                                       2,
		`up`:                                                         0,
	} {
		if got := missing("t", expr, text, values); len(got) != want {
			t.Errorf("%s: %q, want %d", expr, got, want)
		}
	}
}
