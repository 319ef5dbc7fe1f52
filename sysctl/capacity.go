package sysctl

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Limit is how many connections one setting allows, by the rule of the table.
type Limit struct {
	Name    string `json:"name"`
	Conns   int64  `json:"conns"` // MaxConns when it never binds
	Current string `json:"current"`
	Who     string `json:"who,omitempty"`
}

// CapacityReport answers both questions: the memory for N connections, and how
// many connections fit.
type CapacityReport struct {
	Need   Need       `json:"need"`
	Plan   Plan       `json:"plan"`
	Host   HostReport `json:"host"`
	Memory int64      `json:"memory_bytes"` // what there is
	// MemorySource says where Memory comes from: the operator, MemAvailable, or a
	// cgroup's limit.
	MemorySource string   `json:"memory_source"`
	Estimate     Estimate `json:"estimate"`
	// Fits is whether Need.Conns connections fit into Memory and every other
	// limit of this host. When the question was how many fit, it is true.
	Fits bool `json:"fits"`
	// FitConns is the most connections that Memory holds, whatever the other limits.
	FitConns int64 `json:"fit_conns"`
	// Asked says that the number of connections was asked for; otherwise Need.Conns
	// is the answer, the most that fit.
	Asked bool `json:"conns_given"`
	// Limits are the required settings of the table, the tightest first. The first
	// binds.
	Limits   []Limit  `json:"limits"`
	Warnings []string `json:"warnings,omitempty"`
}

// Err is nil when it fits and wraps ErrShort otherwise.
func (c CapacityReport) Err() error {
	if c.Fits {
		return nil
	}
	return fmt.Errorf("%w for %s: %s allows %s", ErrShort, plural(c.Need.Conns, "connection"), c.Limits[0].Name, Count(c.Limits[0].Conns))
}

// Capacity works out memory for connections, or connections for memory. With
// in.Need.Conns 0 the question is how many fit. memory overrides what the host
// has, bytes; 0 takes the host's. It changes nothing.
func Capacity(root Root, in Inputs, memory int64) (CapacityReport, error) {
	asked := in.Need.Conns != 0
	need := in.Need
	if !asked {
		need.Conns = 1 // valid while the others are checked
	}
	err := need.Validate()
	if memory < 0 {
		err = errors.Join(err, fmt.Errorf("memory must not be negative: %s", Bytes(memory)))
	}
	if err != nil {
		return CapacityReport{}, err
	}
	host := Inspect(root)
	c := CapacityReport{Asked: asked}
	for _, err := range host.Faults {
		c.Warnings = append(c.Warnings, err.Error())
	}
	if memory > 0 {
		// A stated memory is another machine's, or all that this one shall use.
		host.MemTotal, host.MemAvailable = max(memory, host.MemTotal), memory
		host.Cgroup.Memory = Unlimited
		c.MemorySource = "as stated"
		if memory > host.MemTotal {
			host.MemTotal = memory
		}
	}
	c.Memory, _ = host.Memory()
	if c.MemorySource == "" {
		_, c.MemorySource = host.Memory()
	}
	if c.Memory == 0 {
		return CapacityReport{}, errors.New("the memory of this host could not be read: state it with --memory")
	}
	c.Host = HostReport{Release: host.Release, CPUs: host.CPUs, MemTotal: host.MemTotal, MemAvailable: host.MemAvailable,
		Container: host.Container, InitialNetns: host.InitialNetns, Cgroup: host.Cgroup.Version}

	// The same rules that judge a host, asked for the largest number they pass.
	at := func(conns int64) facts {
		n := in.Need
		n.Conns = conns
		return newFacts(host, n, in.Kernel, in.Gateway)
	}
	c.FitConns = most(func(conns int64) bool { return at(conns).estimate().Total <= c.Memory })
	for _, p := range Parameters() {
		if !p.Required {
			continue
		}
		value, _, err := p.read(root, host)
		if err != nil {
			continue // absent, hidden or broken: check tells
		}
		conns := most(func(conns int64) bool { return p.rule(at(conns)).Met(value) })
		row := Row{Name: p.Name, Unit: p.Unit, Scope: p.scopeOn(host.Kernel), parameter: p}
		row.target = p.rule(at(max(in.Need.Conns, min(conns+1, MaxConns)))).Target(value)
		row.Target = row.target.Raw()
		c.Limits = append(c.Limits, Limit{Name: p.Name, Conns: conns, Current: value.format(p.Unit), Who: who(root, host, row)})
	}
	slices.SortStableFunc(c.Limits, func(a, b Limit) int { return cmp.Compare(a.Conns, b.Conns) })

	fit := c.Limits[0].Conns
	conns := in.Need.Conns
	if !asked {
		conns = max(fit, 1)
	}
	f := at(conns)
	c.Need, c.Plan, c.Estimate = f.need, f.plan, f.estimate()
	c.Fits = conns <= fit
	return c, nil
}

// most returns the largest number of connections up to MaxConns that passes, or 0.
// Every rule asks more of more connections, so a binary search finds it.
func most(passes func(conns int64) bool) int64 {
	low, high := int64(0), int64(MaxConns)
	for low < high {
		middle := low + (high-low+1)/2
		if passes(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}
