package api

import (
	"slices"
	"strings"
	"sync"
)

// Status is how ready a node is for new connections.
type Status string

// The states of readiness.
const (
	Starting Status = "starting" // not yet serving
	Ready    Status = "ready"
	Degraded Status = "degraded" // serving, with something missing; send connections nevertheless
	Draining Status = "draining" // going away
)

// Readiness collects what the parts of a node know about its being ready.
// The zero value is starting. Its methods may be called from any goroutine;
// they take a mutex, so an event loop must not call them for each event.
type Readiness struct {
	mu       sync.Mutex
	started  bool
	draining bool
	degraded map[string]string // by part
}

// Reason is what one part of the node reports.
type Reason struct {
	Part   string `json:"part"`   // as redis or kafka
	Reason string `json:"reason"` // for people, without secrets
}

// Report is the readiness at one moment.
type Report struct {
	Status  Status   `json:"status"`
	Reasons []Reason `json:"reasons,omitempty"` // why it is degraded, ordered by part
}

// Serving reports whether load balancers should send connections.
func (r Report) Serving() bool { return r.Status == Ready || r.Status == Degraded }

// Start ends the state starting: the node accepts connections now.
func (r *Readiness) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = true
}

// Drain puts the node into the state draining, for good.
func (r *Readiness) Drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
}

// Set tells what is wrong with a part of the node, for people and without
// secrets; empty: it works. A later call for the same part replaces it. The node
// stays ready: it serves its own sessions.
func (r *Readiness) Set(part, trouble string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if trouble == "" {
		delete(r.degraded, part)
		return
	}
	if r.degraded == nil {
		r.degraded = map[string]string{}
	}
	r.degraded[part] = trouble
}

// Report returns the readiness of this moment.
func (r *Readiness) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	var report Report
	for part, reason := range r.degraded {
		report.Reasons = append(report.Reasons, Reason{part, reason})
	}
	slices.SortFunc(report.Reasons, func(a, b Reason) int { return strings.Compare(a.Part, b.Part) })
	switch {
	case r.draining:
		report.Status = Draining
	case !r.started:
		report.Status = Starting
	case len(report.Reasons) != 0:
		report.Status = Degraded
	default:
		report.Status = Ready
	}
	return report
}
