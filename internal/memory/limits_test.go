package memory

import (
	"errors"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func gives(n uint64) memlimit.Provider  { return func() (uint64, error) { return n, nil } }
func fails(err error) memlimit.Provider { return func() (uint64, error) { return 0, err } }

func TestFind(t *testing.T) {
	const gib = 1 << 30
	broken := errors.New("broken")
	share := Config{GOGC: 50, Percent: 50, BudgetPercent: 80}
	budget := func(l Limits) Limits { // what the share of 80% comes to
		l.Budget, l.BudgetFrom = int64(l.Total/100*80), l.From
		return l
	}
	for name, c := range map[string]struct {
		config Config
		from   sources
		want   Limits
	}{
		"configured": {Config{GOGC: 50, Bytes: 3 * gib, BudgetBytes: 5 * gib}, sources{gives(gib), gives(gib)},
			Limits{GOGC: 50, Bytes: 3 * gib, From: "configuration", Budget: 5 * gib, BudgetFrom: "configuration"}},
		"above the budget": {Config{GOGC: 50, Bytes: 3 * gib, BudgetPercent: 80}, sources{gives(gib), gives(8 * gib)},
			Limits{GOGC: 50, Bytes: gib / 100 * 50, From: "configuration", Budget: gib / 100 * 80, BudgetFrom: "control group", Capped: true}},
		"half of a budget": {Config{GOGC: 50, Percent: 50, BudgetBytes: 80}, sources{gives(gib), gives(8 * gib)},
			Limits{GOGC: 50, Bytes: 50, From: "control group", Total: gib, Budget: 80, BudgetFrom: "configuration", Capped: true}},
		"group":            {share, sources{gives(gib), gives(8 * gib)}, budget(Limits{GOGC: 50, Bytes: gib / 100 * 50, From: "control group", Total: gib})},
		"group, no host":   {share, sources{gives(gib), fails(broken)}, budget(Limits{GOGC: 50, Bytes: gib / 100 * 50, From: "control group", Total: gib})},
		"group above host": {share, sources{gives(9 * gib), gives(8 * gib)}, budget(Limits{GOGC: 50, Bytes: 8 * gib / 100 * 50, From: "host", Total: 8 * gib})},
		"no limit":         {share, sources{fails(memlimit.ErrNoLimit), gives(gib)}, budget(Limits{GOGC: 50, Bytes: gib / 100 * 50, From: "host", Total: gib})},
		"group not read":   {share, sources{fails(broken), gives(gib)}, budget(Limits{GOGC: 50, Bytes: gib / 100 * 50, From: "host", Total: gib, Unread: broken})},
	} {
		if got, err := find(c.config, c.from); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		config Config
		from   sources
	}{
		"collector off": {Config{GOGC: -1, Percent: 50, BudgetPercent: 80}, sources{gives(gib), gives(gib)}},
		"no share":      {Config{GOGC: 50, BudgetPercent: 80}, sources{gives(gib), gives(gib)}},
		"no budget":     {Config{GOGC: 50, Percent: 50}, sources{gives(gib), gives(gib)}},
		"nothing known": {share, sources{fails(broken), fails(broken)}},
	} {
		if got, err := find(c.config, c.from); err == nil {
			t.Errorf("%s: %+v, want an error", name, got)
		}
	}
}

func TestApply(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) })
	got, err := Apply(Config{GOGC: 40, Percent: 50, BudgetPercent: 80})
	if err != nil {
		t.Fatal(err)
	}
	if got.Total == 0 || got.Bytes != int64(got.Total/100*50) {
		t.Errorf("Apply = %+v, want half of what there is", got)
	}
	if set := debug.SetMemoryLimit(-1); set != got.Bytes {
		t.Errorf("the runtime's limit is %d, want %d", set, got.Bytes)
	}
	if set := debug.SetGCPercent(100); set != 40 {
		t.Errorf("GOGC is %d, want 40", set)
	}
	if _, err := Apply(Config{GOGC: 0, Bytes: 1 << 30, BudgetPercent: 80}); err == nil || debug.SetMemoryLimit(-1) != got.Bytes {
		t.Errorf("Apply with GOGC 0 = %v, and the limit is %d; want an error and nothing set", err, debug.SetMemoryLimit(-1))
	}
}
