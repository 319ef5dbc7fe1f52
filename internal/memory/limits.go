package memory

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Config is what to set.
type Config struct {
	GOGC    int   // percent, 1 or more
	Bytes   int64 // the soft limit; 0: Percent decides
	Percent int   // share of the control group's limit, or of the host's memory, 1 to 100
}

// Limits is what was set.
type Limits struct {
	GOGC  int
	Bytes int64  // the soft limit
	From  string // "configuration", "control group" or "host"
	Total uint64 // what a share was taken of, bytes; 0 where Bytes was configured
	// Unread is why the control group's limit could not be read, so that the
	// share is one of the host's memory; nil where there simply is no limit.
	Unread error
}

// sources find how much memory there is; tests replace them.
type sources struct {
	cgroup, host memlimit.Provider
}

// Apply sets the limits of this process. It fails, and sets nothing, where a
// share is asked for and neither the control group nor the host says how much
// memory there is.
func Apply(c Config) (Limits, error) {
	limits, err := find(c, sources{memlimit.FromCgroup, memlimit.FromSystem})
	if err != nil {
		return Limits{}, err
	}
	debug.SetGCPercent(limits.GOGC)
	debug.SetMemoryLimit(limits.Bytes)
	return limits, nil
}

func find(c Config, from sources) (Limits, error) {
	if c.GOGC < 1 {
		return Limits{}, fmt.Errorf("memory: GOGC %d: want 1 or more, the collector is never off", c.GOGC)
	}
	if c.Bytes > 0 {
		return Limits{GOGC: c.GOGC, Bytes: c.Bytes, From: "configuration"}, nil
	}
	if c.Percent < 1 || c.Percent > 100 {
		return Limits{}, fmt.Errorf("memory: share of %d%%: want 1%% to 100%%", c.Percent)
	}
	total, word, unread, err := available(from)
	if err != nil {
		return Limits{}, err
	}
	// Divided first: the product could pass 64 bits, and a percent of a
	// byte does not matter.
	bytes := int64(total / 100 * uint64(c.Percent))
	return Limits{GOGC: c.GOGC, Bytes: bytes, From: word, Total: total, Unread: unread}, nil
}

// available is the limit of the control group, or the memory of the host
// where that is less or there is no limit: a group may be allowed more than
// the host has.
func available(from sources) (total uint64, word string, unread, err error) {
	host, hostErr := from.host()
	group, groupErr := from.cgroup()
	switch {
	case groupErr == nil && group > 0 && (hostErr != nil || group < host):
		return group, "control group", nil, nil
	case hostErr == nil && host > 0:
		if errors.Is(groupErr, memlimit.ErrNoLimit) {
			groupErr = nil
		}
		return host, "host", groupErr, nil
	default:
		return 0, "", nil, fmt.Errorf("memory: cannot find how much there is, set a size instead of a share: %w", errors.Join(groupErr, hostErr))
	}
}
