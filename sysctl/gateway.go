package sysctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"time"
)

// Benchmark results that count: this schema, this scenario, this server.
const (
	resultSchema   = "limpet-bench/1"
	resultScenario = "idle"
	resultTarget   = "limpet"
)

// ErrNoResults says that no benchmark result tells what the gateway takes.
var ErrNoResults = errors.New("no complete result of limpet bench idle")

// benchResult is the part of a benchmark result that is read here.
type benchResult struct {
	Schema   string    `json:"schema"`
	Scenario string    `json:"scenario"`
	Complete bool      `json:"complete"`
	Finished time.Time `json:"finished"`
	Targets  []struct {
		Name     string `json:"name"`
		Complete bool   `json:"complete"`
		Memory   *struct {
			Base struct {
				RSS float64 `json:"rss"`
			} `json:"base"`
			Points []struct {
				Conns  float64 `json:"conns"`
				Memory struct {
					RSS float64 `json:"rss"`
				} `json:"memory"`
			} `json:"points"`
			RSS struct {
				PerConn float64 `json:"per_conn"`
				High    float64 `json:"high"` // of the 95 % confidence interval
			} `json:"rss"`
			Simple float64 `json:"simple"`
		} `json:"memory"`
	} `json:"targets"`
}

// ReadGatewayCost reads what the gateway takes from a directory of benchmark
// results (*.json): the one with the most connections, and of those the newest.
// It takes the upper end of the confidence interval, so that chance does not
// make the gateway look smaller. The error wraps ErrNoResults when there is none.
func ReadGatewayCost(results fs.FS) (GatewayCost, error) {
	names, err := fs.Glob(results, "*.json")
	if err != nil {
		return GatewayCost{}, err
	}
	var best GatewayCost
	var bestConns float64
	var bestAt time.Time
	var faults []error
	for _, name := range names {
		text, err := fs.ReadFile(results, name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		var r benchResult
		if err := json.Unmarshal(text, &r); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
			continue
		}
		cost, conns, ok := r.gateway(name)
		if ok && (conns > bestConns || conns == bestConns && r.Finished.After(bestAt)) {
			best, bestConns, bestAt = cost, conns, r.Finished
		}
	}
	if bestConns == 0 {
		return GatewayCost{}, errors.Join(append([]error{ErrNoResults}, faults...)...)
	}
	return best, nil
}

func (r benchResult) gateway(name string) (cost GatewayCost, conns float64, ok bool) {
	if r.Schema != resultSchema || r.Scenario != resultScenario || !r.Complete {
		return cost, 0, false
	}
	for _, t := range r.Targets {
		if t.Name != resultTarget || !t.Complete || t.Memory == nil || len(t.Memory.Points) == 0 {
			continue
		}
		m := t.Memory
		last := m.Points[len(m.Points)-1]
		per := max(m.RSS.PerConn, m.RSS.High)
		if per <= 0 { // too few steps for a line
			per = m.Simple
		}
		// The first connections warm up pools that the later ones share, so the line
		// meets the axis above the memory before the first.
		base := max(m.Base.RSS, last.Memory.RSS-per*last.Conns)
		const most = 1 << 20 // a megabyte each is no gateway of ours
		if per <= 0 || per > most || math.IsNaN(per) || last.Conns <= 0 {
			continue
		}
		return GatewayCost{
			BaseBytes: int64(math.Ceil(base)), SessionBytes: int64(math.Ceil(per)),
			Source: fmt.Sprintf("measured with %s connections, %s", Count(int64(last.Conns)), path.Base(name)),
		}, last.Conns, true
	}
	return cost, 0, false
}
