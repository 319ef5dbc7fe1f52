package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// scrape returns the text of /metrics and its values by name with labels.
func (p *process) scrape() (string, map[string]float64) {
	p.t.Helper()
	resp, err := http.Get("http://" + p.API + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		p.t.Fatalf("GET /metrics: %s, %v", resp.Status, err)
	}
	values := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(string(body))); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		at := strings.LastIndexByte(lines.Text(), ' ')
		v, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			p.t.Fatalf("%q: %v", lines.Text(), err)
		}
		values[lines.Text()[:at]] = v
	}
	return string(body), values
}

// What a conversation leaves in /metrics, from a refused request over Kafka to
// the close.
func TestMetricsOfAConversation(t *testing.T) {
	p := startProcess(t, 0, "--events=false") // records of messages only
	c := p.mustDial("dev1")
	stays := p.mustDial("dev2")
	if _, resp, err := p.dial("no%20spaces"); err == nil || resp == nil || resp.StatusCode != 400 {
		t.Fatalf("a bad name: %v, %v", resp, err)
	}
	for range 3 {
		if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	push := exec.Command("limpet", "push", "--kafka", p.Kafka[0], "--to", "user:dev1", "back")
	if out, err := push.CombinedOutput(); err != nil {
		t.Fatalf("push: %v: %s", err, out)
	}
	if _, got, err := c.ReadMessage(); err != nil || string(got) != "back" {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := stays.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience))
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 1000) {
		t.Fatal(err)
	}
	c.Close()

	want := map[string]float64{
		`limpet_sessions{transport="websocket"}`:                                    1,
		`limpet_connections{state="open",transport="websocket"}`:                    1,
		`limpet_accepts_total{transport="websocket"}`:                               3,
		`limpet_upgrades_total{transport="websocket"}`:                              2,
		`limpet_refusals_total{reason="request"}`:                                   1,
		`limpet_closes_total{reason="peer_closed"}`:                                 1,
		`limpet_closes_total{reason="slow_consumer"}`:                               0,
		`limpet_drops_total{cause="slow_consumer",direction="out",priority="high"}`: 0,
		`limpet_messages_total{direction="in"}`:                                     3,
		`limpet_messages_total{direction="out"}`:                                    1,
		`limpet_frames_total{direction="in"}`:                                       5, // a ping and a close
		`limpet_frames_total{direction="out"}`:                                      3, // a pong and a close
		`limpet_uplink_accepted_total`:                                              3,
		`limpet_uplink_acknowledged_bytes_total`:                                    15,
		`limpet_uplink_buffered_bytes`:                                              0,
		`limpet_produce_duration_seconds_count`:                                     3,
		`limpet_downlink_records_total`:                                             1,
		`limpet_pushes_total{result="delivered"}`:                                   1,
		`limpet_registry_entries{kind="session"}`:                                   1,
		`limpet_build_info{node="test",version="` + versionText() + `"}`:            1,
	}
	var text string
	var values map[string]float64
	var wrong []string
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		text, values = p.scrape()
		wrong = nil
		for name, v := range want {
			if got, ok := values[name]; !ok || got != v {
				wrong = append(wrong, name+" is "+strconv.FormatFloat(got, 'g', -1, 64)+", want "+strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
		for _, name := range []string{
			`limpet_memory_bytes{part="loops"}`, `limpet_memory_bytes{part="registry"}`, `limpet_memory_bytes{part="other_heap"}`,
			`limpet_memory_bytes{part="stacks"}`, `limpet_resident_bytes_per_session`, `limpet_connections_limit`,
			`limpet_host_tcp_sockets{state="established"}`, `limpet_kafka_requests_total{result="ok"}`, `go_goroutines`,
			`go_gc_pauses_seconds_count`, `process_resident_memory_bytes`, `limpet_bytes_total{direction="in"}`,
		} {
			if v, ok := values[name]; !ok || v <= 0 {
				wrong = append(wrong, fmt.Sprintf("%s is %v, want more than 0", name, v))
			}
		}
		if len(wrong) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, w := range wrong {
		t.Error(w)
	}
	lags := 0
	for name := range values {
		if strings.HasPrefix(name, `limpet_kafka_lag_records{`) {
			lags++
		}
	}
	if lags != 12 {
		t.Errorf("lag of %d partitions, want the 12 of the topic downlink", lags)
	}
	promtool(t, text, "check", "metrics")
}

// Without Kafka there is nothing to say about it.
func TestMetricsWithoutKafka(t *testing.T) {
	p := startProcess(t, 0, "--uplink=echo")
	if err := echo(p.mustDial("dev1"), "hello"); err != nil {
		t.Fatal(err)
	}
	text, values := p.scrape()
	if v := values[`limpet_messages_total{direction="out"}`]; v != 1 {
		t.Errorf("%v messages out, want 1", v)
	}
	for name := range values {
		if strings.HasPrefix(name, "limpet_kafka") || strings.HasPrefix(name, "limpet_uplink") {
			t.Errorf("there is %s", name)
		}
	}
	promtool(t, text, "check", "metrics")
}

// promtool runs Prometheus' own tool on stdin. CI installs it; elsewhere its
// absence is told and leaves the rest of the test standing.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is not here, and CI must check with it: install the package prometheus")
		}
		t.Log("promtool is not here: not checked with it (Debian package prometheus)")
		return
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 && args[0] == "check" && stdin != "" {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
