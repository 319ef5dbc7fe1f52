package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// verdicts lists what a check says of every setting, one line each.
func verdicts(r Report) map[string]Verdict {
	m := map[string]Verdict{}
	for _, row := range r.Rows {
		m[row.Name] = row.Verdict
	}
	return m
}

func TestCheckModernServer(t *testing.T) {
	r := check(t, modern.root(t), Need{Conns: 1_000_000, Rate: 12_000})
	want := map[string]Verdict{
		"RLIMIT_NOFILE hard": OK, "RLIMIT_NOFILE soft": OK, // 524,288 in each of 3 tables
		"fs.nr_open": OK, "fs.file-max": OK, "fs.epoll.max_user_watches": OK,
		"net.core.somaxconn": OK, "net.ipv4.tcp_max_syn_backlog": Advised, "net.ipv4.tcp_syncookies": OK,
		"net.core.netdev_max_backlog": Advised, "net.ipv4.tcp_migrate_req": Advised,
		"net.ipv4.ip_local_port_range": OK, "net.ipv4.tcp_tw_reuse": OK, "net.ipv4.tcp_tw_recycle": Gone,
		"net.ipv4.tcp_mem": Short, "net.ipv4.tcp_rmem": Advised, "net.ipv4.tcp_wmem": OK,
		"net.ipv4.tcp_max_orphans": Advised, "net.ipv4.tcp_max_tw_buckets": Advised, "net.ipv4.tcp_fin_timeout": OK,
		"net.ipv4.tcp_keepalive_time": OK, "net.ipv4.tcp_keepalive_intvl": OK, "net.ipv4.tcp_keepalive_probes": OK,
		"net.netfilter.nf_conntrack_max": Absent,
		"memory available":               OK, "cgroup memory limit": OK, "cgroup pids limit": OK,
		"vm.max_map_count": OK, "vm.overcommit_memory": OK, "vm.swappiness": Advised, "transparent_hugepage": Advised,
		"container": OK,
	}
	if diff := cmp.Diff(want, verdicts(r)); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if r.Fits || !errors.Is(r.Err(), ErrShort) {
		t.Errorf("fits %v, err %v: tcp_mem is short", r.Fits, r.Err())
	}
	// 1,000,000 pages at pressure, held to a quarter of 16 GiB: 1,048,576 pages.
	if got := r.row(t, "net.ipv4.tcp_mem").Target; got != "750000 1000000 1500000" {
		t.Errorf("tcp_mem target %q", got)
	}
	if got := r.row(t, "net.ipv4.tcp_rmem").Target; got != "4096 16384 6291456" {
		t.Errorf("tcp_rmem target %q: the outer fields must stay", got)
	}
}

func TestCheckOldServer(t *testing.T) {
	r := check(t, old.root(t), Need{Conns: 100_000, Rate: 2_000, Tables: TablesShared})
	for name, want := range map[string]Verdict{
		"RLIMIT_NOFILE hard":             Short,
		"net.core.somaxconn":             Short,
		"net.ipv4.tcp_tw_recycle":        OK, // there, and off
		"net.ipv4.tcp_migrate_req":       Absent,
		"net.netfilter.nf_conntrack_max": Short,
		"cgroup memory limit":            OK,
		"cgroup pids limit":              Short,
		"vm.swappiness":                  OK,
	} {
		if got := r.row(t, name).Verdict; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	// Before it was one per network namespace, a setting is the host's.
	if got := r.row(t, "net.ipv4.tcp_max_syn_backlog").Scope; got != ScopeHost {
		t.Errorf("tcp_max_syn_backlog on Linux 3.10 is of scope %s", got)
	}
	if got := r.row(t, "net.core.somaxconn").Scope; got != ScopeNetns {
		t.Errorf("somaxconn on Linux 3.10 is of scope %s", got)
	}
	if got := r.row(t, "cgroup memory limit").Current; got != "2147483648" {
		t.Errorf("cgroup v1 memory limit %s", got)
	}
	if got := r.row(t, "net.ipv4.tcp_migrate_req").Note; got != "since Linux 5.14; this is 3.10" {
		t.Errorf("tcp_migrate_req: %q", got)
	}
}

func TestRecycleIsDangerousAndNeverWritten(t *testing.T) {
	r := check(t, old.with(tree{"proc/sys/net/ipv4/tcp_tw_recycle": "1"}).root(t), Need{Conns: 1000})
	row := r.row(t, "net.ipv4.tcp_tw_recycle")
	if row.Verdict != Short || row.Target != "" || !strings.Contains(row.Who, "by hand") {
		t.Errorf("verdict %s, target %q, who %q: it must be reported and not written", row.Verdict, row.Target, row.Who)
	}
}

func TestContainerSaysWhoMust(t *testing.T) {
	need := Need{Conns: 2_000_000, Rate: 20_000, Tables: TablesShared}
	for _, c := range []struct {
		root    tree
		setting string
		verdict Verdict
		who     string
	}{
		{inDocker, "net.ipv4.tcp_mem", Node, "the node: limpet sysctl apply there"},
		{inDocker, "net.ipv4.tcp_max_orphans", Node, "the node"},
		{inDocker, "fs.nr_open", Short, "the node"},
		{inDocker, "net.core.somaxconn", Short, `--sysctl net.core.somaxconn="8192"`},
		{inDocker, "RLIMIT_NOFILE hard", Short, "--ulimit nofile=2001024:2001024"},
		{inDocker, "cgroup memory limit", Short, "mem_limit"},
		// As a sandbox shows them that has no such file.
		{inDocker.with(tree{"proc/sys/net/core/somaxconn": ""}), "net.core.somaxconn", Unknown, `--sysctl net.core.somaxconn="N"`},
		{inDocker.with(tree{"proc/self/limits": ""}), "RLIMIT_NOFILE hard", Unknown, "--ulimit nofile=N:N"},
		{inKubernetes, "net.core.somaxconn", Short, "kubelet --allowed-unsafe-sysctls=net.core.somaxconn"},
		{inKubernetes, "net.ipv4.tcp_rmem", Advised, "securityContext.sysctls (safe since Kubernetes 1.32)"},
		{inKubernetes, "net.ipv4.tcp_mem", Node, "the node"},
		{inKubernetes, "RLIMIT_NOFILE hard", Short, "LimitNOFILE=2001024 in the unit of its container runtime"},
		{inKubernetes, "cgroup memory limit", Short, "resources.limits.memory"},
		// Root of a container may not either: the kernel shows it read-only outside of
		// the host's network namespace.
		{inDocker.with(tree{"proc/sys/net/netfilter/nf_conntrack_max": "65536"}), "net.netfilter.nf_conntrack_max", Short, "the node: limpet sysctl apply there"},
		{inDocker, "vm.overcommit_memory", OK, ""},
		{inDocker.with(tree{"proc/sys/vm/overcommit_memory": "2"}), "vm.overcommit_memory", Short, "root: limpet sysctl apply --force; where that is read-only, the node"},
		{modern, "RLIMIT_NOFILE hard", Short, "the systemd unit: LimitNOFILE=2001024"},
		{modern, "net.ipv4.tcp_mem", Short, "root: limpet sysctl apply;"},
		{modern, "net.ipv4.tcp_rmem", Advised, "root: limpet sysctl apply --force;"}, // apply alone only raises
	} {
		root := c.root.root(t)
		root.Files = readOnly{root.Files}
		row := check(t, root, need).row(t, c.setting)
		if row.Verdict != c.verdict || !strings.Contains(row.Who, c.who) || strings.HasPrefix(c.who, "the node: limpet") && !strings.HasPrefix(row.Who, c.who) {
			t.Errorf("%s: %s, %q; want %s, ...%s...", c.setting, row.Verdict, row.Who, c.verdict, c.who)
		}
	}
}

func TestWritableSettingsNeedNobodyElse(t *testing.T) {
	row := check(t, inDocker.root(t), Need{Conns: 2_000_000, Rate: 20_000, Tables: TablesShared}).row(t, "net.core.somaxconn")
	if !strings.HasPrefix(row.Who, "limpet sysctl apply;") {
		t.Errorf("a privileged container is told %q", row.Who)
	}
}

func TestContainerSettingsOfTheNodeDoNotFail(t *testing.T) {
	root := inDocker.with(tree{"sys/fs/cgroup/memory.max": "max"}).root(t)
	r := check(t, root, Need{Conns: 10_000, Rate: 200})
	if !r.Fits {
		t.Errorf("falls short: %v", r.Err())
	}
	// What the node must have is said with its arithmetic.
	if row := r.row(t, "net.ipv4.tcp_mem"); row.Verdict != Node || row.Needed != ">= 7,500 10,000 15,000" || !strings.HasPrefix(row.Math, "one message queued on each: 10,000 x") {
		t.Errorf("tcp_mem: %s, %s, %s", row.Verdict, row.Needed, row.Math)
	}
}

func TestUnreadableAndAbsurdFiles(t *testing.T) {
	somaxconn := "proc/sys/net/core/somaxconn"
	for _, c := range []struct {
		name    string
		text    string // content; "" removes the file
		err     error
		verdict Verdict
		note    string
	}{
		{"garbage", "many", nil, Unknown, `"many" is not a number`},
		{"negative", "-1", nil, Unknown, `"-1" is not a number`},
		{"a fraction", "1.5", nil, Unknown, "is not a number"},
		{"more than 64 bits", "99999999999999999999", nil, Unknown, "is not a number from 0 to 2^64-1"},
		{"64 bits", "18446744073709551615", nil, OK, ""},
		{"zero", "0", nil, Short, ""},
		{"no content", " ", nil, Unknown, "the file is empty"},
		{"very many fields", strings.Repeat("1 ", 1000), nil, Unknown, "1000 fields"},
		{"missing", "", nil, Unknown, "not there"},
		{"unreadable", "4096", fs.ErrPermission, Unknown, "permission denied"},
		{"failing", "4096", errors.New("input/output error"), Unknown, "input/output error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := modern.with(tree{somaxconn: c.text}).root(t)
			if c.err != nil {
				root.Files = broken{Files: root.Files, reads: map[string]error{somaxconn: c.err}}
			}
			r := check(t, root, Need{Conns: 1000, Rate: 100})
			row := r.row(t, "net.core.somaxconn")
			if row.Verdict != c.verdict || !strings.Contains(row.Note, c.note) {
				t.Errorf("%s (%s), want %s (...%s...)", row.Verdict, row.Note, c.verdict, c.note)
			}
			// What is required and not known does not fit.
			if r.Fits != (c.verdict == OK) {
				t.Errorf("fits is %v", r.Fits)
			}
			// The others stand.
			if got := r.row(t, "fs.nr_open").Verdict; got != OK {
				t.Errorf("fs.nr_open: %s", got)
			}
		})
	}
}

// An empty root is the worst host: nothing can be read. The check must say so of
// every required setting and not break.
func TestNothingReadable(t *testing.T) {
	r := check(t, tree{"proc/version": "Linux"}.root(t), Need{Conns: 1_000_000})
	if r.Fits {
		t.Error("a host of which nothing is known must not fit")
	}
	if len(r.Warnings) == 0 {
		t.Error("no warnings")
	}
	for _, row := range r.Rows {
		if row.Verdict == Short {
			t.Errorf("%s is said to be short of a value that nobody knows (%q)", row.Name, row.Current)
		}
	}
	if got := r.row(t, "fs.nr_open").Verdict; got != Unknown {
		t.Errorf("fs.nr_open: %s", got)
	}
}

func TestConntrackZeroIsUnlimited(t *testing.T) {
	root := modern.with(tree{"proc/sys/net/netfilter/nf_conntrack_max": "0"}).root(t)
	if got := check(t, root, Need{Conns: 1_000_000}).row(t, "net.netfilter.nf_conntrack_max").Verdict; got != OK {
		t.Errorf("nf_conntrack_max 0: %s", got)
	}
}

func TestOutboundNeedsPorts(t *testing.T) {
	for _, c := range []struct {
		outbound int64
		verdict  Verdict
		target   string
		math     string
	}{
		{0, OK, "", "does not dial out"},
		{20_000, OK, "", "1 source address"}, // 22,000 of 28,232
		{50_000, Advised, "10536 65535", "50,000 connections / 1 source address"},
		{200_000, Advised, "10536 65535", "200,000 connections / 4 source addresses"},
	} {
		r := check(t, modern.root(t), Need{Conns: 1000, Outbound: c.outbound})
		row := r.row(t, "net.ipv4.ip_local_port_range")
		if row.Verdict != c.verdict || row.Target != c.target || !strings.Contains(row.Math, c.math) {
			t.Errorf("outbound %d: %s %q %q", c.outbound, row.Verdict, row.Target, row.Math)
		}
	}
}

func TestTransparentHugePages(t *testing.T) {
	const file = "sys/kernel/mm/transparent_hugepage/"
	for _, c := range []struct {
		enabled, none string
		verdict       Verdict
	}{
		{"[always] madvise never", "511", Advised},
		{"always [madvise] never", "511", OK},
		{"always madvise [never]", "511", OK},
		{"[always] madvise never", "0", OK},
		{"always madvise never", "511", Unknown},
	} {
		root := modern.with(tree{file + "enabled": c.enabled, file + "khugepaged/max_ptes_none": c.none}).root(t)
		if got := check(t, root, Need{Conns: 1000}).row(t, "transparent_hugepage").Verdict; got != c.verdict {
			t.Errorf("%s, max_ptes_none %s: %s, want %s", c.enabled, c.none, got, c.verdict)
		}
	}
}

func TestNeedFaultsAllAtOnce(t *testing.T) {
	_, err := Check(modern.root(t), assumed(Need{Conns: MaxConns + 1, Rate: -1, MessageBytes: MaxMessageBytes + 1, Loops: 257, Tables: "none"}))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range []string{"conns", "rate", "msg-bytes", "loops", "fd-tables"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
}

// Every line that people read fits a terminal of 100 columns, on every host.
func TestTextFitsTheTerminal(t *testing.T) {
	for name, tr := range map[string]tree{"modern": modern, "old": old, "docker": inDocker, "kubernetes": inKubernetes, "empty": {"x": "y"}} {
		for _, conns := range []int64{1, 1_000_000, MaxConns} {
			root := tr.root(t)
			root.Files = readOnly{root.Files}
			b := &strings.Builder{}
			need := Need{Conns: conns, Outbound: conns}
			if err := check(t, root, need).WriteText(b); err != nil {
				t.Fatal(err)
			}
			if c, err := Capacity(root, assumed(need), 8<<30); err != nil {
				t.Error(err)
			} else if err := c.WriteText(b); err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(b.String(), "\n") {
				if len(line) > 80 {
					t.Errorf("%s, %d connections: %d columns: %s", name, conns, len(line), line)
				}
				if strings.Contains(line, "%!") {
					t.Errorf("%s: a broken format: %s", name, line)
				}
			}
		}
	}
}

func ExampleReport_Err() {
	fmt.Println(Report{Fits: false, Need: Need{Conns: 5}, Rows: []Row{{Verdict: Short}}}.Err())
	// Output: the host falls short for 5 connections: 1 setting
}

// A vector with fields missing makes no sense, and no guess at them is written.
func TestVectorWithFieldsMissing(t *testing.T) {
	root := modern.with(tree{"proc/sys/net/ipv4/tcp_rmem": "4096 131072", "proc/sys/net/ipv4/tcp_mem": "5"}).root(t)
	r := check(t, root, million)
	for _, name := range []string{"net.ipv4.tcp_rmem", "net.ipv4.tcp_mem"} {
		if row := r.row(t, name); row.Verdict != Unknown || row.Target != "" || !strings.Contains(row.Note, "3 are expected") {
			t.Errorf("%s: %s, target %q, %q", name, row.Verdict, row.Target, row.Note)
		}
	}
	if text := render(t, root, million, RenderOptions{Format: FormatSysctl}); !strings.Contains(text, "net.ipv4.tcp_rmem = 4096 16384 6291456\n") {
		t.Errorf("in the file:\n%s", text)
	}
}

// A kernel built without huge pages needs no advice about them.
func TestKernelWithoutHugePages(t *testing.T) {
	root := modern.without("sys/kernel/mm/transparent_hugepage").root(t)
	if row := check(t, root, million).row(t, "transparent_hugepage"); row.Verdict != Absent {
		t.Errorf("%s: %q", row.Verdict, row.Note)
	}
}
