package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Verdict is the judgement on one setting.
type Verdict string

const (
	OK      Verdict = "ok"
	Short   Verdict = "SHORT"   // required, and falls short
	Advised Verdict = "advised" // not required; would help on a bad day
	Unknown Verdict = "UNKNOWN" // it is there, but could not be read or makes no sense
	Node    Verdict = "node"    // the host's, not visible from this network namespace
	Absent  Verdict = "absent"  // this kernel does not have it, and nothing needs it
	Gone    Verdict = "gone"    // removed from newer kernels, never written
)

// Row is the verdict on one setting of the table.
type Row struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Current string  `json:"current"` // as the kernel prints it; "" when not known
	Needed  string  `json:"needed"`
	// Target is what would be written, as the kernel takes it; "" when nothing is
	// to be changed.
	Target   string `json:"target,omitempty"`
	Unit     string `json:"unit"`
	Scope    Scope  `json:"scope"`
	Required bool   `json:"required"`
	Math     string `json:"arithmetic"`
	// Note says why the setting was not judged, where it was not.
	Note   string `json:"note,omitempty"`
	Reason string `json:"reason"`
	Source string `json:"source"`
	// Who says who must change it, for rows that are not well.
	Who string `json:"who,omitempty"`

	parameter Parameter
	rule      Rule
	value     Value // parsed current
	target    Value
}

// Inputs are what a check works from; Inspect, Measure and ReadGatewayCost fill
// it, tests write it by hand.
type Inputs struct {
	Need    Need
	Kernel  KernelCost
	Gateway GatewayCost
}

// Report is the whole table.
type Report struct {
	Fits     bool       `json:"fits"`
	Need     Need       `json:"need"`
	Plan     Plan       `json:"plan"`
	Host     HostReport `json:"host"`
	Rows     []Row      `json:"settings"`
	Estimate Estimate   `json:"memory"`
	// Kernel and Gateway are what the arithmetic took a connection to cost.
	Kernel  KernelCost  `json:"kernel_cost"`
	Gateway GatewayCost `json:"gateway_cost"`
	// Warnings are facts of the host that could not be read.
	Warnings []string `json:"warnings,omitempty"`
}

// HostReport is the part of a Host that a reader needs.
type HostReport struct {
	Release      string `json:"release"`
	CPUs         int64  `json:"cpus"`
	MemTotal     int64  `json:"memory_bytes"`
	MemAvailable int64  `json:"memory_available_bytes"`
	Container    string `json:"container,omitempty"`
	InitialNetns bool   `json:"initial_network_namespace"`
	Cgroup       int    `json:"cgroup_version"`
}

// Err is nil when the host fits and wraps ErrShort otherwise.
func (r Report) Err() error {
	if r.Fits {
		return nil
	}
	return fmt.Errorf("%w for %s connections: %s", ErrShort, Count(r.Need.Conns), plural(int64(len(r.failing())), "setting"))
}

func (r Report) failing() (rows []Row) {
	for _, row := range r.Rows {
		if row.fails() {
			rows = append(rows, row)
		}
	}
	return rows
}

// fails says whether a row keeps the host from fitting. A required setting that
// is there and cannot be read fails: nobody can say that it suffices. One that
// only the node can see does not: the node's own check must tell.
func (row Row) fails() bool {
	return row.Verdict == Short || row.Verdict == Unknown && row.Required
}

// Check compares a host with a need. It changes nothing. The error is about the
// need alone (Validate); a host that falls short is a Report that says so.
func Check(root Root, in Inputs) (Report, error) {
	if err := in.Need.Validate(); err != nil {
		return Report{}, err
	}
	host := Inspect(root)
	f := newFacts(host, in.Need, in.Kernel, in.Gateway)
	r := Report{
		Fits: true, Need: f.need, Plan: f.plan, Estimate: f.estimate(), Kernel: f.kernel, Gateway: f.gateway,
		Host: HostReport{Release: host.Release, CPUs: host.CPUs, MemTotal: host.MemTotal, MemAvailable: host.MemAvailable,
			Container: host.Container, InitialNetns: host.InitialNetns, Cgroup: host.Cgroup.Version},
	}
	for _, err := range host.Faults {
		r.Warnings = append(r.Warnings, err.Error())
	}
	for _, p := range Parameters() {
		row := judge(root, f, p)
		if row.fails() {
			r.Fits = false
		}
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}

func judge(root Root, f facts, p Parameter) Row {
	rule := p.rule(f)
	row := Row{
		Name: p.Name, Unit: p.Unit, Scope: p.scopeOn(f.host.Kernel), Required: p.Required,
		Needed: rule.text(p.Unit), Math: rule.Math, Reason: p.Reason, Source: p.Source,
		parameter: p, rule: rule,
	}
	value, raw, err := p.read(root, f.host)
	row.value, row.Current = value, raw
	if n := len(value.Numbers); err == nil && n < rule.fields() {
		err = fmt.Errorf("%s where %d are expected", plural(int64(n), "field"), rule.fields())
	}
	switch {
	case err == nil && rule.Met(value):
		row.Verdict = OK
	case err == nil:
		row.Verdict = Advised
		if p.Required {
			row.Verdict = Short
		}
		row.target = rule.Target(value)
		if p.File != "" && p.NeverWrite == "" {
			row.Target = row.target.Raw()
		}
		row.Who = who(root, f.host, row)
	default:
		row.Verdict, row.Note = absence(f.host, p, row.Scope, err)
		if row.Verdict == Node || row.Verdict == Unknown {
			row.Who = who(root, f.host, row)
		}
	}
	if row.Verdict == Absent || row.Verdict == Gone {
		row.Needed, row.Math = "-", ""
	}
	return row
}

// scopeOn is the scope on one kernel: a setting that became one per network
// namespace later is the host's before.
func (p Parameter) scopeOn(kernel Version) Scope {
	if p.Scope == ScopeNetns && kernel.Before(p.NetnsSince) {
		return ScopeHost
	}
	return p.Scope
}

// read returns the current value, parsed and as it is.
func (p Parameter) read(root Root, h Host) (v Value, raw string, err error) {
	if p.current != nil {
		if v, err = p.current(h); err == nil {
			raw = v.Raw()
		}
		return v, raw, err
	}
	if raw, err = root.text(p.File); err != nil {
		return v, "", err
	}
	raw = strings.Join(strings.Fields(raw), " ") // the kernel parts a vector by tabs
	if p.Word {
		v, err = parseWord(raw)
		return v, v.Word, err
	}
	if v, err = parseNumbers(raw); err != nil {
		return v, clip(raw), err
	}
	return v, raw, nil
}

// absence says why a setting could not be read: this kernel has it no more or not
// yet, this namespace hides it, nothing loaded it, or it is broken.
func absence(h Host, p Parameter, scope Scope, err error) (Verdict, string) {
	switch {
	case errors.Is(err, errNoCgroup):
		return Absent, err.Error()
	case !errors.Is(err, fs.ErrNotExist):
		return Unknown, err.Error()
	case p.Until != (Version{}) && !h.Kernel.Before(p.Until):
		return Gone, "never written: " + p.NeverWrite
	case h.Kernel.Before(p.Since):
		return Absent, fmt.Sprintf("since Linux %s; this is %s", p.Since, h.Kernel)
	case scope == ScopeHost && !h.InitialNetns && isNet(p):
		return Node, "visible only in the host's network namespace"
	case p.Missing != "":
		return Absent, p.Missing
	case p.Until != (Version{}):
		return Absent, "this kernel does not have it"
	}
	return Unknown, "not there, though this kernel should have it (" + plain(err).Error() + ")"
}

func isNet(p Parameter) bool {
	const net = "proc/sys/net/"
	return len(p.File) > len(net) && p.File[:len(net)] == net
}
