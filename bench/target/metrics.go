package target

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Metrics is what a Go server says of itself. A field that it does not offer
// is zero.
type Metrics struct {
	Source     string        `json:"source"` // URL
	Goroutines uint64        `json:"goroutines"`
	HeapAlloc  uint64        `json:"heap_alloc"` // bytes, live and not yet collected
	HeapInUse  uint64        `json:"heap_inuse"` // bytes of spans
	Stack      uint64        `json:"stack"`      // bytes
	GCs        uint64        `json:"gcs"`        // since start
	GCPauseMax time.Duration `json:"gc_pause_max_ns"`
	GCPauseSum time.Duration `json:"gc_pause_sum_ns"`
	CPU        time.Duration `json:"cpu_ns"`
}

const (
	metricsTimeout = 5 * time.Second
	collectTimeout = time.Minute
	maxMetrics     = 16 << 20 // bytes of an answer
)

// ReadMetrics reads Prometheus text or expvar's JSON, whichever comes.
func (s *Server) ReadMetrics(ctx context.Context) (*Metrics, error) {
	if s.Metrics == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Metrics, nil)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	req.Close = true // no idle connection of ours in the server's memory
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s: %s", s.Metrics, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxMetrics))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	m := &Metrics{Source: s.Metrics}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		err = m.readExpvar(body)
	} else {
		m.readPrometheus(body)
	}
	if err == nil && *m == (Metrics{Source: s.Metrics}) {
		err = fmt.Errorf("metrics: %s has nothing known in it: neither Go's names for Prometheus nor expvar's memstats", s.Metrics)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// ErrNoCollect is returned by Collect for a server that cannot be asked.
var ErrNoCollect = errors.New("the server offers no way to start a collection")

// Collect has limpet run a full garbage collection, through the profile of
// the heap that its API offers, and returns when it is done.
func (s *Server) Collect(ctx context.Context) error {
	if s.API == "" {
		return ErrNoCollect
	}
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.API+"/debug/pprof/heap?gc=1", nil)
	if err != nil {
		return fmt.Errorf("collect: %w", err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("collect: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", ErrNoCollect, resp.Status)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxMetrics))
	return err
}

// readExpvar reads /debug/vars.
func (m *Metrics) readExpvar(body []byte) error {
	var vars struct {
		Goroutines uint64 `json:"goroutines"`
		Memstats   struct {
			HeapAlloc, HeapInuse, StackInuse, PauseTotalNs uint64
			NumGC                                          uint32
			PauseNs                                        []uint64
		} `json:"memstats"`
	}
	if err := json.Unmarshal(body, &vars); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	mem := vars.Memstats
	m.Goroutines, m.HeapAlloc, m.HeapInUse, m.Stack = vars.Goroutines, mem.HeapAlloc, mem.HeapInuse, mem.StackInuse
	m.GCs, m.GCPauseSum = uint64(mem.NumGC), time.Duration(mem.PauseTotalNs)
	for _, p := range mem.PauseNs { // the latest 256
		m.GCPauseMax = max(m.GCPauseMax, time.Duration(p))
	}
	return nil
}

// readPrometheus reads the names that client_golang's Go and process
// collectors give.
func (m *Metrics) readPrometheus(body []byte) {
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, maxMetrics)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			continue
		}
		switch name {
		case "go_goroutines":
			m.Goroutines = uint64(v)
		case "go_memstats_heap_alloc_bytes":
			m.HeapAlloc = uint64(v)
		case "go_memstats_heap_inuse_bytes":
			m.HeapInUse = uint64(v)
		case "go_memstats_stack_inuse_bytes":
			m.Stack = uint64(v)
		case "go_gc_duration_seconds_count":
			m.GCs = uint64(v)
		case "go_gc_duration_seconds_sum":
			m.GCPauseSum = seconds(v)
		case `go_gc_duration_seconds{quantile="1"}`:
			m.GCPauseMax = seconds(v)
		case "process_cpu_seconds_total":
			m.CPU = seconds(v)
		}
	}
}

func seconds(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }
