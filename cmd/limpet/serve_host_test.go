package main

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/sysctl"
)

// No machine of today has the memory for ninety million connections: this one
// falls short, and serve says so in one line for each setting.
func TestShortfallsAreToldInOneLineEach(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	need := hostNeed(reactor.Limits{MaxConns: 90_000_000, Loops: 8, PerLoopTables: true, PerTable: 18_976})
	required, err := tellShortfalls(log, sysctl.System(), need)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(required) != len(lines) {
		t.Errorf("%d settings are returned and %d told", len(required), len(lines))
	}
	told := map[string]bool{}
	for _, line := range lines {
		_, rest, ok := strings.Cut(line, "this host falls short: ")
		if !ok || !strings.Contains(line, "level=WARN") {
			t.Errorf("unexpected line %q", line)
			continue
		}
		name, _, ok := strings.Cut(rest, " is ")
		if !ok || told[name] {
			t.Errorf("no setting, or told twice: %q", line)
		}
		told[name] = true
	}
	for _, name := range []string{"memory available", "RLIMIT_NOFILE hard"} {
		if !told[name] {
			t.Errorf("%s is not told:\n%s", name, out.String())
		}
	}
}

func TestSmallNodeStartsInSilence(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	if _, err := tellShortfalls(log, sysctl.System(), hostNeed(reactor.Limits{MaxConns: 100, Loops: 1})); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "memory available is") {
		t.Errorf("a hundred connections are too many:\n%s", out.String())
	}
}

func TestHostNeed(t *testing.T) {
	if got, want := hostNeed(reactor.Limits{MaxConns: 5, Loops: 2}), (sysctl.Need{Conns: 5, Loops: 2, Tables: sysctl.TablesShared}); got != want {
		t.Errorf("%+v", got)
	}
	if got := hostNeed(reactor.Limits{MaxConns: 5, Loops: 2, PerLoopTables: true}).Tables; got != sysctl.TablesPerLoop {
		t.Errorf("tables %s", got)
	}
}

// The check plans the loops and tables that the engine takes here, and finds the
// limit of open files short exactly where the engine refuses to start.
func TestCheckPlansWhatTheEngineDoes(t *testing.T) {
	for _, tables := range []reactor.FDTables{reactor.AutoTables, reactor.SharedTable, reactor.PerLoopTables} {
		for _, conns := range []int{1, 500, 15_000, 18_976, 18_977, 200_000, 1_000_000} {
			need := sysctl.Need{Conns: int64(conns), Tables: map[reactor.FDTables]sysctl.Tables{
				reactor.AutoTables: sysctl.TablesAuto, reactor.SharedTable: sysctl.TablesShared, reactor.PerLoopTables: sysctl.TablesPerLoop,
			}[tables]}
			report, err := sysctl.Check(sysctl.System(), sysctl.Inputs{Need: need, Kernel: sysctl.DefaultKernelCost(), Gateway: sysctl.DefaultGatewayCost()})
			if err != nil {
				t.Fatal(err)
			}
			short := slices.ContainsFunc(report.Rows, func(r sysctl.Row) bool {
				return r.Name == "RLIMIT_NOFILE hard" && r.Verdict == sysctl.Short
			})
			engine, err := reactor.New(reactor.Config{Addr: "127.0.0.1:0", FDTables: tables, Tuning: reactor.Tuning{MaxConns: conns}}, nil)
			if short != (err != nil) {
				t.Errorf("%d connections, %s: short %v, but the engine says %v", conns, need.Tables, short, err)
			}
			if err != nil {
				continue
			}
			limits := engine.Limits()
			if err := engine.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if p := report.Plan; p.Loops != int64(limits.Loops) || (p.Tables == sysctl.TablesPerLoop) != limits.PerLoopTables {
				t.Errorf("%d connections, %s: planned %+v, the engine takes %+v", conns, need.Tables, p, limits)
			}
		}
	}
}
