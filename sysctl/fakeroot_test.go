package sysctl

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a fake root: file names and what is in them.
type tree map[string]string

// root writes the tree into a directory and opens it.
func (tr tree) root(t *testing.T) Root {
	t.Helper()
	dir := t.TempDir()
	for name, text := range tr {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, file); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Root{Files: Dir(dir), PageSize: 4096}
}

// with returns a copy with some files changed; "" removes one.
func (tr tree) with(changes tree) tree {
	out := maps.Clone(tr)
	for name, text := range changes {
		if text == "" {
			delete(out, name)
			continue
		}
		out[name] = text
	}
	return out
}

// without returns a copy where no name has one of the prefixes.
func (tr tree) without(prefixes ...string) tree {
	out := tree{}
	for name, text := range tr {
		keep := true
		for _, p := range prefixes {
			keep = keep && !strings.HasPrefix(name, p)
		}
		if keep {
			out[name] = text
		}
	}
	return out
}

const limitsText = `Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max open files            1024                 524288               files
Max locked memory         8388608              8388608              bytes`

// modern is a server with Linux 6.12, systemd's limits, cgroup v2, 16 GiB.
var modern = tree{
	"proc/sys/kernel/osrelease":                                   "6.12.9-amd64",
	"proc/sys/kernel/random/boot_id":                              "0f1e-boot",
	"proc/self/ns/net":                                            "-> net:[4026531840]",
	"sys/devices/system/cpu/online":                               "0-3",
	"proc/meminfo":                                                "MemTotal:       16777216 kB\nMemFree:        9000000 kB\nMemAvailable:   15728640 kB\nBuffers: 1 kB\nCached: 2 kB\nSwapTotal:       2097152 kB\nCommitLimit:    10485760 kB\nCommitted_AS:     524288 kB",
	"proc/self/limits":                                            limitsText,
	"proc/self/cgroup":                                            "0::/system.slice/limpet.service",
	"proc/1/cgroup":                                               "0::/init.scope",
	"sys/fs/cgroup/cgroup.controllers":                            "cpuset cpu io memory pids",
	"sys/fs/cgroup/system.slice/limpet.service/memory.max":        "max",
	"sys/fs/cgroup/system.slice/limpet.service/memory.high":       "max",
	"sys/fs/cgroup/system.slice/limpet.service/pids.max":          "4915",
	"sys/fs/cgroup/system.slice/memory.max":                       "max",
	"sys/fs/cgroup/system.slice/pids.max":                         "max",
	"proc/sys/fs/file-nr":                                         "2000\t0\t9223372036854775807",
	"proc/sys/fs/file-max":                                        "9223372036854775807",
	"proc/sys/fs/nr_open":                                         "1048576",
	"proc/sys/fs/epoll/max_user_watches":                          "3661414",
	"proc/sys/net/core/somaxconn":                                 "4096",
	"proc/sys/net/core/netdev_max_backlog":                        "1000",
	"proc/sys/net/ipv4/tcp_max_syn_backlog":                       "1024",
	"proc/sys/net/ipv4/tcp_syncookies":                            "1",
	"proc/sys/net/ipv4/tcp_migrate_req":                           "0",
	"proc/sys/net/ipv4/ip_local_port_range":                       "32768\t60999",
	"proc/sys/net/ipv4/tcp_tw_reuse":                              "2",
	"proc/sys/net/ipv4/tcp_mem":                                   "191565\t255422\t383130",
	"proc/sys/net/ipv4/tcp_rmem":                                  "4096\t131072\t6291456",
	"proc/sys/net/ipv4/tcp_wmem":                                  "4096\t16384\t4194304",
	"proc/sys/net/ipv4/tcp_max_orphans":                           "65536",
	"proc/sys/net/ipv4/tcp_max_tw_buckets":                        "65536",
	"proc/sys/net/ipv4/tcp_fin_timeout":                           "60",
	"proc/sys/net/ipv4/tcp_keepalive_time":                        "7200",
	"proc/sys/net/ipv4/tcp_keepalive_intvl":                       "75",
	"proc/sys/net/ipv4/tcp_keepalive_probes":                      "9",
	"proc/sys/vm/max_map_count":                                   "1048576",
	"proc/sys/vm/overcommit_memory":                               "0",
	"proc/sys/vm/swappiness":                                      "60",
	"sys/kernel/mm/transparent_hugepage/enabled":                  "[always] madvise never",
	"sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none": "511",
}

// old is a server with Linux 3.10 (an enterprise kernel of its time), cgroup v1,
// conntrack loaded.
var old = modern.without("proc/self/cgroup", "proc/1/cgroup", "sys/fs/cgroup").with(tree{
	"proc/sys/kernel/osrelease":                               "3.10.0-1160.el7.x86_64",
	"proc/sys/net/ipv4/tcp_migrate_req":                       "",
	"proc/sys/net/ipv4/tcp_tw_recycle":                        "0",
	"proc/sys/net/ipv4/tcp_tw_reuse":                          "0",
	"proc/sys/net/core/somaxconn":                             "128",
	"proc/sys/fs/file-max":                                    "1611446",
	"proc/sys/vm/max_map_count":                               "65530",
	"proc/sys/net/netfilter/nf_conntrack_max":                 "65536",
	"proc/meminfo":                                            "MemTotal: 16777216 kB\nMemFree: 8388608 kB\nBuffers: 1048576 kB\nCached: 4194304 kB\nSwapTotal: 0 kB\nCommitLimit: 8388608 kB\nCommitted_AS: 524288 kB",
	"proc/self/limits":                                        strings.Replace(limitsText, "524288 ", "4096   ", 1),
	"proc/self/cgroup":                                        "11:pids:/system.slice/limpet.service\n10:memory:/system.slice/limpet.service\n1:name=systemd:/system.slice/limpet.service",
	"proc/1/cgroup":                                           "10:memory:/\n1:name=systemd:/",
	"sys/fs/cgroup/memory/memory.limit_in_bytes":              "9223372036854771712",
	"sys/fs/cgroup/memory/system.slice/memory.limit_in_bytes": "9223372036854771712",
	"sys/fs/cgroup/memory/system.slice/limpet.service/memory.limit_in_bytes": "2147483648",
	"sys/fs/cgroup/pids/system.slice/limpet.service/pids.max":                "64",
})

// inDocker is the modern server seen from a container with a network namespace
// of its own: what belongs to the host's namespace is not there.
var inDocker = modern.without("proc/self/cgroup", "sys/fs/cgroup/system.slice").with(tree{
	".dockerenv":                           " ",
	"proc/1/cgroup":                        "0::/",
	"proc/self/cgroup":                     "0::/",
	"proc/self/ns/net":                     "-> net:[4026532999]",
	"sys/fs/cgroup/memory.max":             "1073741824",
	"sys/fs/cgroup/memory.high":            "max",
	"sys/fs/cgroup/pids.max":               "max",
	"proc/sys/net/ipv4/tcp_mem":            "",
	"proc/sys/net/ipv4/tcp_max_orphans":    "",
	"proc/sys/net/core/netdev_max_backlog": "",
	"run/systemd/container":                "docker",
})

// inKubernetes is the same in a pod.
var inKubernetes = inDocker.without("run/").with(tree{
	"proc/self/environ": "PATH=/bin\x00KUBERNETES_SERVICE_HOST=10.0.0.1\x00",
})

// broken wraps a root with files that fail in ways a test cannot make for root.
type broken struct {
	Files
	reads, opens, writes map[string]error
	kept                 map[string]bool   // writes succeed and change nothing
	cuts                 map[string]string // writes succeed, and this is kept instead
}

func (b broken) Read(name string) ([]byte, error) {
	if err := b.reads[name]; err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return b.Files.Read(name)
}

func (b broken) Writable(name string) error {
	if err := b.opens[name]; err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return b.Files.Writable(name)
}

func (b broken) Write(name string, value []byte) error {
	if err := b.opens[name]; err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if err := b.writes[name]; err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	if b.kept[name] {
		return nil
	}
	if instead := b.cuts[name]; instead != "" {
		value = []byte(instead)
	}
	return b.Files.Write(name, value)
}

// dies is a root whose process is killed by the first write.
type dies struct{ Files }

func (dies) Write(string, []byte) error { panic("killed") }

// readOnly is a root where nothing can be written, as for an ordinary user.
type readOnly struct{ Files }

func (readOnly) Writable(name string) error {
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func (readOnly) Write(name string, _ []byte) error {
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

// assumed is the inputs that most tests use.
func assumed(n Need) Inputs {
	return Inputs{Need: n, Kernel: DefaultKernelCost(), Gateway: DefaultGatewayCost()}
}

func check(t *testing.T, root Root, n Need) Report {
	t.Helper()
	r, err := Check(root, assumed(n))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r Report) row(t *testing.T, name string) Row {
	t.Helper()
	for _, row := range r.Rows {
		if row.Name == name {
			return row
		}
	}
	t.Fatalf("no row %q", name)
	return Row{}
}
