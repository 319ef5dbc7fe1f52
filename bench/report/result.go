package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/limpet-gateway/limpet/bench/probe"
	"github.com/limpet-gateway/limpet/bench/target"
)

// Schema names the form of a Result. A field may be added under the same
// number; one that is renamed, removed or changes its meaning raises it.
const Schema = "limpet-bench/1"

// Result is one run of one scenario against one or more servers. SCHEMA.md
// documents every field; a test keeps the two together.
type Result struct {
	Schema      string        `json:"schema"`
	Tool        Tool          `json:"tool"`
	Started     time.Time     `json:"started"`
	Finished    time.Time     `json:"finished"`
	Machine     probe.Machine `json:"machine"`
	Scenario    string        `json:"scenario"`
	Question    string        `json:"question"`
	Settings    Settings      `json:"settings"`
	Complete    bool          `json:"complete"`
	Interrupted bool          `json:"interrupted"`
	Targets     []*Target     `json:"targets"`
}

// Tool says what measured.
type Tool struct {
	Version string   `json:"version"`
	Go      string   `json:"go"`
	Command []string `json:"command"`
}

// Settings are the options that shaped the load.
type Settings struct {
	Conns      int     `json:"conns"`
	Rate       float64 `json:"rate"`
	MsgRate    float64 `json:"msg_rate"`
	Seconds    float64 `json:"duration_s"`
	Warmup     float64 `json:"warmup_s"`
	Timeout    float64 `json:"timeout_s"`
	Size       int     `json:"size"`
	Seed       uint64  `json:"seed"`
	Steps      int     `json:"steps"`
	Rounds     int     `json:"rounds"`
	InFlight   []int   `json:"in_flight"`
	SlowShare  float64 `json:"slow_share"`
	Churn      float64 `json:"churn"`
	Exercise   int     `json:"exercise"`
	ClientsMin int     `json:"clients_min"`
}

// Target is what was found out about one server.
type Target struct {
	Name       string            `json:"name"`
	URL        string            `json:"url"`
	PID        int               `json:"pid"`
	Command    []string          `json:"command"`
	NoFile     uint64            `json:"nofile"`
	Complete   bool              `json:"complete"`
	Faults     []Fault           `json:"faults"`
	Figures    []Figure          `json:"figures"`
	Memory     *Memory           `json:"memory"`
	Latencies  []Latency         `json:"latencies"`
	Phases     []Phase           `json:"phases"`
	Broadcasts []Broadcast       `json:"broadcasts"`
	Before     *target.Metrics   `json:"metrics_before"`
	After      *target.Metrics   `json:"metrics_after"`
	Client     Client            `json:"client"`
	Network    Network           `json:"network"`
	Errors     map[string]uint64 `json:"errors"`
	Timeline   []Sample          `json:"timeline"`
}

// Fault is something that went wrong, and what to do about it.
type Fault struct {
	Message string `json:"message"`
	Advice  string `json:"advice"`
}

// Better says in which direction a Figure improves.
type Better string

// The two directions, and none.
const (
	Lower   Better = "lower"
	Higher  Better = "higher"
	Neutral Better = ""
)

// Figure is one headline number. Name is stable: comparisons go by it.
type Figure struct {
	Name   string  `json:"name"`
	Label  string  `json:"label"`
	Unit   string  `json:"unit"` // B, s, /s, count, ×, %
	Value  float64 `json:"value"`
	Low    float64 `json:"low"`  // 95 % confidence interval; both 0: none
	High   float64 `json:"high"` //
	Better Better  `json:"better"`
}

// Memory is what connections cost.
type Memory struct {
	Base   probe.Memory `json:"base"` // before the first connection of the last round
	Points []Point      `json:"points"`
	RSS    Slope        `json:"rss"`
	Anon   Slope        `json:"rss_anon"`
	PSS    Slope        `json:"pss"`
	Simple float64      `json:"simple"` // (RSS at the last point − base) / connections
	// Kernel bytes of one socket, of the server's end; 0 when not readable.
	Kernel float64 `json:"kernel_per_socket"`
}

// Point is one settled reading.
type Point struct {
	Round   int          `json:"round"` // of those that Settings.Rounds asks for, from 1
	Conns   int          `json:"conns"` // open at the time of the reading
	Memory  probe.Memory `json:"memory"`
	Settled bool         `json:"settled"`
	Threads int          `json:"threads"`
	Kernel  probe.Kernel `json:"kernel"`
}

// Slope is a least-squares line with its 95 % confidence interval.
type Slope struct {
	PerConn float64 `json:"per_conn"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	N       int     `json:"n"`
}

// Latency is one distribution, in nanoseconds from the intended time.
type Latency struct {
	Name  string           `json:"name"`
	Count int64            `json:"count"`
	Mean  float64          `json:"mean"`
	Min   int64            `json:"min"`
	Max   int64            `json:"max"`
	P     map[string]int64 `json:"percentiles"`
	Curve []CurvePoint     `json:"curve"`
	HDR   string           `json:"hdr"` // the whole histogram, V2 compressed, base64
}

// CurvePoint is one value of the percentile curve.
type CurvePoint struct {
	Percentile float64 `json:"percentile"`
	Value      int64   `json:"value"`
}

// Phase is a stretch of load with what it cost.
type Phase struct {
	Name        string            `json:"name"`
	Start       float64           `json:"start_s"` // since the target's first sample
	Seconds     float64           `json:"seconds"`
	Messages    uint64            `json:"messages"`
	Sent        uint64            `json:"sent"`
	Unanswered  uint64            `json:"unanswered"`
	ServerCPU   float64           `json:"server_cpu_s"`
	ClientCPU   float64           `json:"client_cpu_s"`
	ClientBusy  float64           `json:"client_busy"` // share of the time that the busiest client loop worked
	HostBusy    float64           `json:"host_busy"`   // share of all cores
	Others      float64           `json:"others"`      // cores that other programs took
	PerMessage  float64           `json:"server_cpu_per_message_s"`
	Errors      map[string]uint64 `json:"errors"`
	LagP99Nanos int64             `json:"client_lag_p99_ns"`
}

// Broadcast is one message to everybody.
type Broadcast struct {
	InFlight  int   `json:"in_flight"`
	Delivered int   `json:"delivered"`
	Expected  int   `json:"expected"`
	TookNanos int64 `json:"took_ns"` // until the last client had it
}

// Client is what the load generator itself cost.
type Client struct {
	Processes  int      `json:"processes"`
	CPU        float64  `json:"cpu_s"`
	RSS        uint64   `json:"rss"`
	RSSPerConn float64  `json:"rss_per_conn"`
	ServerCPU  float64  `json:"server_cpu_s"` // in the same time
	Bottleneck bool     `json:"bottleneck"`
	Why        []string `json:"why"`
}

// Network is what the stack counted during the run, on the whole machine.
type Network struct {
	TimeWait        int64  `json:"time_wait"` // more than before
	Retransmits     uint64 `json:"retransmits"`
	ListenOverflows uint64 `json:"listen_overflows"`
	ListenDrops     uint64 `json:"listen_drops"`
	BacklogDrops    uint64 `json:"backlog_drops"`
	Resets          uint64 `json:"resets_sent"`
}

// Sample is one moment of the timeline.
type Sample struct {
	At        float64 `json:"at_s"`
	Phase     string  `json:"phase"`
	Open      int     `json:"open"`
	RSS       uint64  `json:"rss"`
	ServerCPU float64 `json:"server_cpu"` // cores
	ClientCPU float64 `json:"client_cpu"` // cores
	Received  float64 `json:"received"`   // messages per second
	Errors    uint64  `json:"errors"`     // so far
}

// ErrSchema is wrapped by Read for files of another form.
var ErrSchema = errors.New("not a result of this version of limpet bench")

// Read reads a result from a file.
func Read(path string) (*Result, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w: %v", path, ErrSchema, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s: %w: schema %q, want %q", path, ErrSchema, r.Schema, Schema)
	}
	for _, t := range r.Targets {
		if t == nil {
			return nil, fmt.Errorf("%s: %w: a target is null", path, ErrSchema)
		}
	}
	return &r, nil
}

// WriteJSON writes the result, indented, with a newline at its end.
func (r *Result) WriteJSON(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// Figure finds a figure by its name.
func (t *Target) Figure(name string) (Figure, bool) {
	for _, f := range t.Figures {
		if f.Name == name {
			return f, true
		}
	}
	return Figure{}, false
}
