package sysctl

import (
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// gatewayHolds is the gateway's own arithmetic (reactor's descriptor plan): how
// many connections one table holds, and how many a loop's own table is given.
func gatewayHolds(nofile, loops int64) (table, share int64) {
	reserve := min(max(nofile/8, 64), 1024)
	table = nofile - max(reserve, 48+max(reserve/8, 8)+4*loops)
	if table < 64 {
		return 0, 0
	}
	return table, int64(float64(table) * 0.85)
}

// What the plan asks for, the gateway accepts; one descriptor less, and it may not.
func TestPlanIsWhatTheGatewayAccepts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 4_000_000).Draw(t, "conns")
		nofile := rapid.Int64Range(64, 2_000_000).Draw(t, "nofile")
		tables := rapid.SampledFrom([]Tables{TablesAuto, TablesShared, TablesPerLoop}).Draw(t, "tables")
		h := Host{CPUs: rapid.Int64Range(1, 64).Draw(t, "cpus"), NofileHard: nofile, NrOpen: Unlimited}
		p := plan(Need{Conns: n, Tables: tables}, h)

		table, share := gatewayHolds(max(p.Descriptors, nofile), p.Loops)
		switch {
		case p.Tables == TablesShared && table < n:
			t.Fatalf("%d conns, nofile %d: planned %+v, the gateway holds %d", n, nofile, p, table)
		case p.Tables == TablesPerLoop && share*p.Loops < n:
			t.Fatalf("%d conns, nofile %d: planned %+v, the gateway holds %d", n, nofile, p, share*p.Loops)
		}
		if p.Loops < 1 || p.Loops > MaxLoops {
			t.Fatalf("%+v", p)
		}
		// Auto finds a plan wherever the gateway would.
		limitTable, _ := gatewayHolds(nofile, h.CPUs)
		_, limitShare := gatewayHolds(nofile, MaxLoops)
		if tables == TablesAuto && p.Descriptors > nofile && (limitTable >= n || limitShare*MaxLoops >= n+MaxLoops) {
			t.Fatalf("%d conns fit into nofile %d, but the plan is %+v", n, nofile, p)
		}
	})
}

func TestDescriptorsForIsTheSmallest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 10_000_000).Draw(t, "conns")
		loops := rapid.Int64Range(1, MaxLoops).Draw(t, "loops")
		need := descriptorsFor(n, loops)
		if table, _ := gatewayHolds(need, loops); table < n || table != connsWithin(need, loops) {
			t.Fatalf("descriptorsFor(%d, %d) = %d, where the gateway holds %d", n, loops, need, table)
		}
		if table, _ := gatewayHolds(need-1, loops); table >= n {
			t.Fatalf("descriptorsFor(%d, %d) = %d, but one less suffices", n, loops, need)
		}
	})
}

// The prototype held 1,015,000 sessions with 60 loops under a nofile limit of
// 20,000; the plan for as many must be near to that.
func TestPlanOfAMillionUnderASmallLimit(t *testing.T) {
	p := plan(Need{Conns: 1_015_000}, Host{CPUs: 2, NofileHard: 20_000, NrOpen: 1 << 20})
	if p.Tables != TablesPerLoop || p.Loops < 60 || p.Loops > 64 || p.Descriptors > 20_000 {
		t.Errorf("%+v", p)
	}
	if !strings.Contains(p.Math, "1,015,000 connections /") {
		t.Errorf("arithmetic %q", p.Math)
	}
}

func TestPerLoopNeedsASmallerLimit(t *testing.T) {
	for _, c := range []struct {
		need Need
		want int64
	}{
		{Need{Conns: 100_000, Tables: TablesShared}, 101_024},
		{Need{Conns: 100_000, Tables: TablesPerLoop, Loops: 10}, 12_789}, // 10,000 x 20/17 = 11,765, + 1,024
	} {
		p := plan(c.need, Host{CPUs: 2, NofileHard: 1024, NrOpen: 1 << 20})
		if p.Descriptors != c.want {
			t.Errorf("%+v: %d, want %d", c.need, p.Descriptors, c.want)
		}
	}
}

// The gateway starts no event loop for a CPU that its affinity or its cgroup's
// quota keeps from it, so the listeners are as few.
func TestPlanCountsTheCPUsOfTheProcess(t *testing.T) {
	root := modern.root(t) // 4 CPUs
	root.Procs = 1
	r := check(t, root, Need{Conns: 100_000, Rate: 12_000})
	if r.Plan.Loops != 1 || r.Host.CPUs != 4 {
		t.Errorf("%d loops on %d CPUs", r.Plan.Loops, r.Host.CPUs)
	}
	if row := r.row(t, "net.core.somaxconn"); row.Verdict != Short {
		t.Errorf("12,000/s on one listener: %+v", row)
	}
	if got := System().Procs; got != int64(runtime.GOMAXPROCS(0)) {
		t.Errorf("this process has %d", got)
	}
}

// The gateway does not start with a table of less than 64 connections, and its
// loops need room of their own.
func TestLeastTable(t *testing.T) {
	for loops, want := range map[int64]int64{1: 128, 2: 128, 64: 64 + 48 + 8 + 4*64} {
		if got := descriptorsFor(1, loops); got < want || connsWithin(want-1, loops) > 0 {
			t.Errorf("one connection on %d loops needs %d descriptors, at least %d", loops, got, want)
		}
	}
}
