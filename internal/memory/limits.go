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

	BudgetBytes   int64 // of Limits.Budget; 0: BudgetPercent decides
	BudgetPercent int   // as Percent
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

	// Budget is what the process and its sockets in the kernel may take,
	// bytes; BudgetFrom is as From. It sets nothing by itself.
	Budget     int64
	BudgetFrom string
	Capped     bool // the soft limit was more than its share of the budget
}

// InGroup reports whether the budget is a share of a control group's limit:
// then what the group is charged is to be compared with it.
func (l Limits) InGroup() bool { return l.BudgetFrom == fromGroup }

// Where a limit comes from.
const (
	fromConfig = "configuration"
	fromGroup  = "control group"
	fromHost   = "host"
)

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
	var l Limits
	var err error
	if l, err = amount(c.Bytes, c.Percent, from); err != nil {
		return Limits{}, err
	}
	budget, err := amount(c.BudgetBytes, c.BudgetPercent, from)
	if err != nil {
		return Limits{}, err
	}
	l.GOGC, l.Budget, l.BudgetFrom = c.GOGC, budget.Bytes, budget.From
	if l.Unread == nil {
		l.Unread = budget.Unread
	}
	if most := l.Budget / 8 * 5; l.Bytes > most {
		l.Bytes, l.Capped = most, true
	}
	return l, nil
}

// amount is bytes where that is not 0, or a share of what there is.
func amount(bytes int64, percent int, from sources) (Limits, error) {
	if bytes > 0 {
		return Limits{Bytes: bytes, From: fromConfig}, nil
	}
	if percent < 1 || percent > 100 {
		return Limits{}, fmt.Errorf("memory: share of %d%%: want 1%% to 100%%", percent)
	}
	total, word, unread, err := available(from)
	if err != nil {
		return Limits{}, err
	}
	// Divided first: the product could pass 64 bits, and a percent of a
	// byte does not matter.
	return Limits{Bytes: int64(total / 100 * uint64(percent)), From: word, Total: total, Unread: unread}, nil
}

// available is the limit of the control group, or the memory of the host
// where that is less or there is no limit: a group may be allowed more than
// the host has.
func available(from sources) (total uint64, word string, unread, err error) {
	host, hostErr := from.host()
	group, groupErr := from.cgroup()
	switch {
	case groupErr == nil && group > 0 && (hostErr != nil || group < host):
		return group, fromGroup, nil, nil
	case hostErr == nil && host > 0:
		if errors.Is(groupErr, memlimit.ErrNoLimit) {
			groupErr = nil
		}
		return host, fromHost, groupErr, nil
	default:
		return 0, "", nil, fmt.Errorf("memory: cannot find how much there is, set a size instead of a share: %w", errors.Join(groupErr, hostErr))
	}
}
