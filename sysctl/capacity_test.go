package sysctl

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func capacity(t *testing.T, root Root, n Need, memory int64) CapacityReport {
	t.Helper()
	c, err := Capacity(root, assumed(n), memory)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The figures of one million connections, worked out by hand.
func TestEstimateOfAMillion(t *testing.T) {
	h := Host{CPUs: 2, PageSize: 4096, NofileHard: 2_000_000, NrOpen: 2_000_000, MemTotal: 16 << 30, MemAvailable: 16 << 30}
	f := newFacts(h, Need{Conns: 1_000_000, Rate: 12_000, MsgRate: 50_000}, KernelCost{SocketBytes: 4000, QueuedPages: 1}, GatewayCost{BaseBytes: 20 << 20, SessionBytes: 800})
	e := f.estimate()
	for i, want := range []struct {
		name  string
		bytes int64
	}{
		{"kernel sockets", 4_000_000_000},
		{"descriptor tables", 1_048_576 * 33 / 4}, // 2^20 slots, one table
		{"gateway", 20<<20 + 800_000_000},
		// (50,000 + 80,000) messages/s x 0.2 s + 10,000 asleep = 36,000 pages
		{"socket buffers", 36_000 * 4096},
	} {
		if got := e.Items[i]; got.Name != want.name || got.Bytes != want.bytes {
			t.Errorf("%s: %d, want %s: %d", got.Name, got.Bytes, want.name, want.bytes)
		}
	}
	var parts int64
	for _, item := range e.Items {
		parts += item.Bytes
	}
	if parts != e.Total {
		t.Errorf("the parts are %d, the total %d", parts, e.Total)
	}
	head := e.Items[len(e.Items)-1]
	if want := (e.Total-head.Bytes)*15/100 + 256<<20; head.Name != "head-room" || head.Bytes != want {
		t.Errorf("head-room %d, want %d", head.Bytes, want)
	}
	if e.Broadcast != 1_000_000*4096 {
		t.Errorf("broadcast %d", e.Broadcast)
	}
}

// Both questions have one answer: what is said to fit fits, and one more does not.
func TestCapacityBothWaysAgree(t *testing.T) {
	root := modern.root(t)
	host := Inspect(root)
	rapid.Check(t, func(t *rapid.T) {
		memory := rapid.Int64Range(1<<30, 1<<40).Draw(t, "memory")
		n := Need{MsgRate: rapid.Int64Range(0, 1_000_000).Draw(t, "msg-rate"), MessageBytes: rapid.Int64Range(1, 100_000).Draw(t, "bytes")}
		c, err := Capacity(root, assumed(n), memory)
		if err != nil {
			t.Fatal(err)
		}
		total := func(conns int64) int64 {
			n.Conns = conns
			return newFacts(host, n, DefaultKernelCost(), DefaultGatewayCost()).estimate().Total
		}
		if c.FitConns > 0 && total(c.FitConns) > memory {
			t.Fatalf("%d connections take %d of %d", c.FitConns, total(c.FitConns), memory)
		}
		if c.FitConns < MaxConns && total(c.FitConns+1) <= memory {
			t.Fatalf("%d connections would fit too", c.FitConns+1)
		}
	})
}

func TestCapacityNamesWhatBinds(t *testing.T) {
	tuned := modern.with(tree{
		"proc/sys/net/ipv4/tcp_mem": "3000000 4000000 6000000", "proc/sys/net/core/somaxconn": "65535",
		"proc/self/limits": strings.Replace(limitsText, "524288 ", "4000000", 1), "proc/sys/fs/nr_open": "4000000",
	})
	for _, c := range []struct {
		name  string
		tree  tree
		need  Need
		binds string
		conns int64
	}{
		{"an untouched server: a message for each", modern, Need{Rate: 1000}, "net.ipv4.tcp_mem", 255_422},
		{"memory", tuned, Need{Rate: 1000}, "memory available", 0},
		{"a cgroup", tuned.with(tree{"sys/fs/cgroup/system.slice/limpet.service/memory.max": "2147483648"}), Need{Rate: 1000}, "cgroup memory limit", 0},
		{"one table", tuned.with(tree{"proc/self/limits": limitsText}), Need{Rate: 1000, Tables: TablesShared}, "RLIMIT_NOFILE hard", 523_264},
		{"threads", tuned.with(tree{"sys/fs/cgroup/system.slice/limpet.service/pids.max": "100"}), Need{Rate: 1000}, "cgroup pids limit", 0},
		{"conntrack", tuned.with(tree{"proc/sys/net/netfilter/nf_conntrack_max": "262144"}), Need{}, "net.netfilter.nf_conntrack_max", 131_072},
		{"accepting", tuned.with(tree{"proc/sys/net/core/somaxconn": "128"}), Need{Rate: 10_000}, "net.core.somaxconn", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := capacity(t, c.tree.root(t), c.need, 0)
			if r.Limits[0].Name != c.binds || c.conns != 0 && r.Limits[0].Conns != c.conns {
				t.Errorf("%s binds at %d, want %s at %d", r.Limits[0].Name, r.Limits[0].Conns, c.binds, c.conns)
			}
			// The table's own judgement: what binds is met at the limit and not above.
			for _, above := range []int64{0, 1} {
				n := c.need
				n.Conns = r.Limits[0].Conns + above
				if n.Conns == 0 {
					continue
				}
				row := check(t, c.tree.root(t), n).row(t, c.binds)
				if ok := row.Verdict == OK; ok != (above == 0) {
					t.Errorf("%d connections: %s is %s", n.Conns, c.binds, row.Verdict)
				}
			}
		})
	}
}

func TestCapacityOfAskedConnections(t *testing.T) {
	root := modern.root(t)
	if c := capacity(t, root, Need{Conns: 200_000}, 0); !c.Fits || c.Err() != nil || !c.Asked {
		t.Errorf("200,000 do not fit: %v", c.Err())
	}
	c := capacity(t, root, Need{Conns: 300_000}, 0)
	if c.Fits || !errors.Is(c.Err(), ErrShort) {
		t.Errorf("300,000 fit, though tcp_mem allows 255,422")
	}
	if c := capacity(t, root, Need{Conns: 200_000}, 1<<30); c.Fits || c.MemorySource != "as stated" {
		t.Errorf("200,000 fit into 1 GiB (%s)", c.MemorySource)
	}
}

func TestCapacityWithoutMemory(t *testing.T) {
	_, err := Capacity(tree{"proc/version": "x"}.root(t), assumed(Need{Conns: 1}), 0)
	if err == nil || !strings.Contains(err.Error(), "--memory") {
		t.Errorf("%v", err)
	}
	if _, err := Capacity(modern.root(t), assumed(Need{}), -1); err == nil {
		t.Error("negative memory is taken")
	}
	if _, err := Capacity(modern.root(t), assumed(Need{Rate: -1}), 0); err == nil {
		t.Error("a negative rate is taken")
	}
}

// More connections, or more traffic, never take less memory.
func TestEstimateIsMonotonic(t *testing.T) {
	h := Inspect(old.root(t))
	rapid.Check(t, func(t *rapid.T) {
		n := Need{Conns: rapid.Int64Range(1, MaxConns-1).Draw(t, "conns"), MsgRate: rapid.Int64Range(0, MaxRate-1).Draw(t, "rate"), Tables: TablesShared}
		more := n
		more.Conns, more.MsgRate = n.Conns+rapid.Int64Range(0, MaxConns-n.Conns).Draw(t, "c"), n.MsgRate+rapid.Int64Range(0, MaxRate-n.MsgRate).Draw(t, "r")
		of := func(n Need) int64 { return newFacts(h, n, DefaultKernelCost(), DefaultGatewayCost()).estimate().Total }
		if of(more) < of(n) {
			t.Fatalf("%+v takes %d, %+v takes %d", n, of(n), more, of(more))
		}
	})
}
