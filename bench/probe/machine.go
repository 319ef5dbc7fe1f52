package probe

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine says where a result was measured.
type Machine struct {
	OS         string            `json:"os"`
	Arch       string            `json:"arch"`
	Kernel     string            `json:"kernel"`
	CPU        string            `json:"cpu"`
	Cores      int               `json:"cores"`
	Memory     uint64            `json:"memory"` // bytes
	NoFileSoft uint64            `json:"nofile_soft"`
	NoFileHard uint64            `json:"nofile_hard"`
	Sysctls    map[string]string `json:"sysctls"`
}

// sysctls are the settings that decide how many connections a host bears.
var sysctls = []string{
	"fs/file-max", "fs/nr_open", "net/core/somaxconn", "net/ipv4/ip_local_port_range",
	"net/ipv4/tcp_max_syn_backlog", "net/ipv4/tcp_mem", "net/ipv4/tcp_rmem", "net/ipv4/tcp_wmem",
	"net/ipv4/tcp_tw_reuse", "vm/overcommit_memory",
}

// Machine describes this host. What cannot be read is left empty.
func (p Proc) Machine() Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Sysctls: make(map[string]string)}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	if text, err := os.ReadFile(p.path("cpuinfo")); err == nil {
		for line := range bytes.Lines(text) {
			if name, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(name)) == "model name" {
				m.CPU = string(bytes.TrimSpace(value))
				break
			}
		}
	}
	if text, err := os.ReadFile(p.path("meminfo")); err == nil {
		m.Memory = kilobytes(text, "MemTotal:")
	}
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		m.NoFileSoft, m.NoFileHard = lim.Cur, lim.Max
	}
	for _, name := range sysctls {
		if text, err := os.ReadFile(p.path("sys", name)); err == nil {
			m.Sysctls[strings.ReplaceAll(name, "/", ".")] = strings.Join(strings.Fields(string(text)), " ")
		}
	}
	return m
}

// Available is the memory that new work could use, in bytes.
func (p Proc) Available() uint64 {
	text, err := os.ReadFile(p.path("meminfo"))
	if err != nil {
		return 0
	}
	return kilobytes(text, "MemAvailable:")
}

// NoFile is the soft limit of descriptors of a process; 0 when unknown.
func (p Proc) NoFile(pid int) uint64 {
	text, err := p.read(pid, "limits")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Max open files")); ok {
			fields := bytes.Fields(rest)
			if len(fields) > 0 {
				n, _ := strconv.ParseUint(string(fields[0]), 10, 64)
				return n
			}
		}
	}
	return 0
}
