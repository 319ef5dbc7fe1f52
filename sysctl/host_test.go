package sysctl

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestInspect(t *testing.T) {
	for _, c := range []struct {
		name string
		tree tree
		want Host
	}{
		{"modern", modern, Host{
			Release: "6.12.9-amd64", Kernel: Version{6, 12}, PageSize: 4096, CPUs: 4,
			MemTotal: 16 << 30, MemAvailable: 15 << 30, SwapTotal: 2 << 30, CommitLimit: 10 << 30, CommittedAS: 512 << 20,
			NofileSoft: 1024, NofileHard: 524288, NrOpen: 1048576, FilesInUse: 2000,
			Cgroup:       Cgroup{Version: 2, Memory: Unlimited, Pids: 4915, PidsFile: "/sys/fs/cgroup/system.slice/limpet.service/pids.max"},
			InitialNetns: true, NetnsID: "net:[4026531840]", MaxPtesNone: 511,
		}},
		{"old", old, Host{
			Release: "3.10.0-1160.el7.x86_64", Kernel: Version{3, 10}, PageSize: 4096, CPUs: 4,
			// Before Linux 3.14 there is no MemAvailable: free + buffers + cached.
			MemTotal: 16 << 30, MemAvailable: 13 << 30, CommitLimit: 8 << 30, CommittedAS: 512 << 20,
			NofileSoft: 1024, NofileHard: 4096, NrOpen: 1048576, FilesInUse: 2000,
			Cgroup: Cgroup{Version: 1, Memory: 2 << 30, MemoryFile: "/sys/fs/cgroup/memory/system.slice/limpet.service/memory.limit_in_bytes",
				Pids: 64, PidsFile: "/sys/fs/cgroup/pids/system.slice/limpet.service/pids.max"},
			InitialNetns: true, NetnsID: "net:[4026531840]", MaxPtesNone: 511, ConntrackEntry: 320,
		}},
		{"docker", inDocker, Host{
			Release: "6.12.9-amd64", Kernel: Version{6, 12}, PageSize: 4096, CPUs: 4,
			MemTotal: 16 << 30, MemAvailable: 15 << 30, SwapTotal: 2 << 30, CommitLimit: 10 << 30, CommittedAS: 512 << 20,
			NofileSoft: 1024, NofileHard: 524288, NrOpen: 1048576, FilesInUse: 2000,
			Cgroup:    Cgroup{Version: 2, Memory: 1 << 30, MemoryFile: "/sys/fs/cgroup/memory.max", Pids: Unlimited},
			Container: "docker", NetnsID: "net:[4026532999]", MaxPtesNone: 511,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Inspect(c.tree.root(t))
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestConntrackEntryFromSlabinfo(t *testing.T) {
	slab := "slabinfo - version: 2.1\n# name <active_objs> ...\nnf_conntrack 10 24 256 16 1 : tunables 0 0 0 : slabdata 1 1 0"
	h := Inspect(old.with(tree{"proc/slabinfo": slab}).root(t))
	if h.ConntrackEntry != 256 {
		t.Errorf("%d bytes, want the slab's 256", h.ConntrackEntry)
	}
}

func TestDetectContainer(t *testing.T) {
	for _, c := range []struct {
		tree tree
		want string
	}{
		{modern, ""},
		{old, ""},
		{inDocker, "docker"},
		{inKubernetes, "kubernetes"},
		{tree{"run/.containerenv": "x"}, "podman"},
		{tree{"run/systemd/container": "systemd-nspawn"}, "systemd-nspawn"},
		{tree{"proc/1/cgroup": "10:memory:/docker/0123456789abcdef"}, "docker"},
		{tree{"proc/1/cgroup": "4:memory:/kubepods/burstable/pod1/2"}, "kubernetes"},
		{tree{"proc/1/cgroup": "4:memory:/lxc/web"}, "lxc"},
		{tree{"proc/1/cgroup": "0::/system.slice/docker.service"}, ""},
		{tree{"proc/self/environ": "HOME=/\x00NOT_KUBERNETES_SERVICE_HOST=1\x00"}, ""},
	} {
		if got := detectContainer(c.tree.root(t)); got != c.want {
			t.Errorf("%v: %q, want %q", c.tree, got, c.want)
		}
	}
}

func TestCgroupLimits(t *testing.T) {
	const unit = "sys/fs/cgroup/system.slice/limpet.service/"
	for _, c := range []struct {
		name   string
		tree   tree
		memory int64
		file   string
	}{
		{"memory.max", modern.with(tree{unit + "memory.max": "2147483648"}), 2 << 30, unit + "memory.max"},
		{"memory.high comes first", modern.with(tree{unit + "memory.max": "2147483648", unit + "memory.high": "1073741824"}), 1 << 30, unit + "memory.high"},
		{"a parent binds", modern.with(tree{unit + "memory.max": "2147483648", "sys/fs/cgroup/system.slice/memory.max": "536870912"}), 512 << 20,
			"sys/fs/cgroup/system.slice/memory.max"},
		{"v1 unlimited", old.with(tree{"sys/fs/cgroup/memory/system.slice/limpet.service/memory.limit_in_bytes": "9223372036854771712"}), Unlimited, ""},
		{"v2 beside v1 without controllers", modern.with(tree{"sys/fs/cgroup/cgroup.controllers": " ", unit + "memory.max": "1"}), Unlimited, ""},
		{"no cgroups", modern.with(tree{"proc/self/cgroup": ""}), Unlimited, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := inspectCgroup(c.tree.root(t))
			if err != nil {
				t.Fatal(err)
			}
			if g.Memory != c.memory || strings.TrimPrefix(g.MemoryFile, "/") != c.file {
				t.Errorf("%d by %q, want %d by %q", g.Memory, g.MemoryFile, c.memory, c.file)
			}
		})
	}
}

func TestCgroupFaults(t *testing.T) {
	const max = "sys/fs/cgroup/system.slice/limpet.service/memory.max"
	for _, tr := range []tree{
		modern.with(tree{max: "lots"}),
		modern.with(tree{"proc/self/cgroup": "nonsense"}),
	} {
		if _, err := inspectCgroup(tr.root(t)); err == nil {
			t.Errorf("no fault")
		}
	}
}

func TestInspectFaults(t *testing.T) {
	for file, text := range map[string]string{
		"proc/sys/kernel/osrelease":     "unknowable",
		"sys/devices/system/cpu/online": "0-999999999",
		"proc/meminfo":                  "MemTotal: lots kB",
		"proc/self/limits":              "Max open files many many files",
		"proc/sys/fs/file-nr":           "x",
		"proc/sys/fs/nr_open":           "-5",
	} {
		h := Inspect(modern.with(tree{file: text}).root(t))
		if len(h.Faults) != 1 {
			t.Errorf("%s %q: faults %v, want one", file, text, h.Faults)
		}
	}
	if h := Inspect(modern.root(t)); len(h.Faults) != 0 {
		t.Errorf("a sound host has faults: %v", h.Faults)
	}
}

func TestCPUList(t *testing.T) {
	for text, want := range map[string]int64{"0": 1, "0-3": 4, "0-3,6": 5, "0,2,4": 3} {
		var h Host
		if err := h.readCPUs(tree{"sys/devices/system/cpu/online": text}.root(t)); err != nil || h.CPUs != want {
			t.Errorf("%q: %d, %v", text, h.CPUs, err)
		}
	}
	for _, text := range []string{"", "a", "3-0", "-1", "0-", "0--3"} {
		var h Host
		if err := h.readCPUs(tree{"sys/devices/system/cpu/online": text + " "}.root(t)); err == nil {
			t.Errorf("%q is taken for %d CPUs", text, h.CPUs)
		}
	}
}
