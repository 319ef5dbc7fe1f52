package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Host is what Inspect found. A number that could not be read is 0, and Faults
// says why; a limit that does not exist is Unlimited.
type Host struct {
	Release  string
	Kernel   Version
	PageSize int64 // bytes
	CPUs     int64
	Procs    int64 // CPUs that the gateway may use; 0: all of them

	MemTotal     int64 // bytes
	MemAvailable int64 // bytes the kernel could give out now without swapping
	SwapTotal    int64 // bytes
	CommitLimit  int64 // bytes; binds only with vm.overcommit_memory=2
	CommittedAS  int64 // bytes

	NofileSoft int64 // this process's RLIMIT_NOFILE
	NofileHard int64
	NrOpen     int64 // fs.nr_open, the ceiling of NofileHard; Unlimited when not visible
	FilesInUse int64 // files open on the whole host, fs.file-nr

	Cgroup    Cgroup
	Container string // "" outside of one, else docker, kubernetes, podman, ...
	// InitialNetns is whether this is the network namespace of the host. Settings
	// of scope Host below /proc/sys/net are visible only there.
	InitialNetns bool
	NetnsID      string // such as "net:[4026531833]"; "" when not visible

	ConntrackEntry int64 // bytes of one connection tracking entry; 0 when not loaded
	MaxPtesNone    int64 // khugepaged/max_ptes_none; -1 when not visible

	Faults []error // what could not be read, one error for each file
}

// conntrackEntryBytes is used when /proc/slabinfo is not readable: the slab
// object of nf_conntrack is 256 to 320 bytes on 64-bit kernels from 3.10 on.
const conntrackEntryBytes = 320

// Inspect reads what a host is. It always returns a usable Host.
func Inspect(root Root) Host {
	h := Host{PageSize: root.PageSize, Procs: root.Procs, NrOpen: Unlimited, MaxPtesNone: -1}
	if h.PageSize <= 0 {
		h.PageSize = 4096
	}
	h.fault("kernel release", h.readRelease(root))
	h.fault("number of CPUs", h.readCPUs(root))
	h.fault("proc/meminfo", h.readMeminfo(root))
	h.fault("proc/self/limits", h.readLimits(root))
	h.fault("fs.file-nr", readNumber(root, "proc/sys/fs/file-nr", &h.FilesInUse))
	if err := readNumber(root, "proc/sys/fs/nr_open", &h.NrOpen); !errors.Is(err, fs.ErrNotExist) {
		h.fault("fs.nr_open", err)
	}
	var cgroupErr error
	h.Cgroup, cgroupErr = inspectCgroup(root)
	h.fault("cgroup", cgroupErr)
	h.Container = detectContainer(root)
	_, err := root.text("proc/sys/net/ipv4/tcp_mem")
	// tcp_mem counts pages of the whole machine, so the kernel shows it in the
	// initial network namespace alone.
	h.InitialNetns = !errors.Is(err, fs.ErrNotExist)
	h.NetnsID, _ = root.Files.Link("proc/self/ns/net")
	if _, err := root.text("proc/sys/net/netfilter/nf_conntrack_max"); err == nil {
		h.ConntrackEntry = conntrackEntryBytes
		if slab, err := readSlabinfo(root); err == nil && slab["nf_conntrack"].size > 0 {
			h.ConntrackEntry = slab["nf_conntrack"].size
		}
	}
	_ = readNumber(root, "sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none", &h.MaxPtesNone)
	return h
}

func (h *Host) fault(what string, err error) {
	if err != nil {
		h.Faults = append(h.Faults, fmt.Errorf("%s: %w", what, err))
	}
}

// Memory is what the gateway and its sockets may use: what is available on the
// host, or the cgroup's limit where that is lower. It returns 0 when unknown.
func (h Host) Memory() (bytes int64, source string) {
	bytes, source = h.MemAvailable, "MemAvailable"
	if c := h.Cgroup.Memory; c > 0 && c < bytes {
		bytes, source = c, h.Cgroup.MemoryFile
	}
	return bytes, source
}

// loops is how many event loops the gateway starts by itself.
func (h Host) loops() int64 {
	if h.Procs > 0 {
		return h.Procs
	}
	return max(h.CPUs, 1)
}

func readNumber(root Root, name string, into *int64) error {
	text, err := root.text(name)
	if err != nil {
		return err
	}
	v, err := parseNumbers(text)
	if err != nil {
		return err
	}
	*into = v.Numbers[0]
	return nil
}

func (h *Host) readRelease(root Root) error {
	text, err := root.text("proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	h.Release = clip(text)
	h.Kernel, err = ParseVersion(text)
	return err
}

// readCPUs counts a list such as "0-3,6".
func (h *Host) readCPUs(root Root) error {
	h.CPUs = 1
	text, err := root.text("sys/devices/system/cpu/online")
	if err != nil {
		return err
	}
	var n int64
	for _, part := range strings.Split(text, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		a, err1 := strconv.ParseInt(low, 10, 32)
		b, err2 := strconv.ParseInt(high, 10, 32)
		const most = 1 << 16 // far above the kernel's own CONFIG_NR_CPUS
		if err1 != nil || err2 != nil || a < 0 || b < a || b >= most {
			return fmt.Errorf("%q is not a list of CPUs", clip(text))
		}
		n += b - a + 1
	}
	h.CPUs = n
	return nil
}

func (h *Host) readMeminfo(root Root) error {
	text, err := root.text("proc/meminfo")
	if err != nil {
		return err
	}
	var free, buffers, cached int64
	available := int64(-1)
	want := map[string]*int64{
		"MemTotal": &h.MemTotal, "MemAvailable": &available, "MemFree": &free, "Buffers": &buffers, "Cached": &cached,
		"SwapTotal": &h.SwapTotal, "CommitLimit": &h.CommitLimit, "Committed_AS": &h.CommittedAS,
	}
	for _, line := range strings.Split(text, "\n") {
		name, rest, _ := strings.Cut(line, ":")
		into, ok := want[name]
		if !ok {
			continue
		}
		n, err := parseNumber(strings.TrimSpace(strings.TrimSuffix(rest, "kB")))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*into = mul(n, 1024)
	}
	if available < 0 { // before Linux 3.14
		available = add(free, buffers, cached)
	}
	h.MemAvailable = min(available, h.MemTotal)
	if h.MemTotal == 0 {
		return fmt.Errorf("no MemTotal in it")
	}
	return nil
}

func (h *Host) readLimits(root Root) error {
	text, err := root.text("proc/self/limits")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(text, "\n") {
		rest, ok := strings.CutPrefix(line, "Max open files")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			return fmt.Errorf("%q has no two limits", clip(line))
		}
		soft, err1 := parseNumber(fields[0])
		hard, err2 := parseNumber(fields[1])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		h.NofileSoft, h.NofileHard = soft, hard
		return nil
	}
	return fmt.Errorf("no line \"Max open files\" in it")
}
