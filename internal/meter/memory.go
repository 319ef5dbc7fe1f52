package meter

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// SocketBytes is what the kernel keeps for one idle connection: the slab
// objects of socket, inode, file, dentry and epoll item, as measured on Linux
// 6.18 with 15,000 idle connections. The kernel charges them to the control
// group that accepted the connection.
const SocketBytes = 4040

// Memory is what counts against a budget, in bytes.
type Memory struct {
	Charged int64 // in a control group what the group is charged, without page cache; else Resident and Sockets
	// Resident is the memory of the process itself.
	Resident int64
	// Sockets is what the kernel keeps for connections: SocketBytes each, and
	// in a control group of version 2 their buffers.
	Sockets int64
}

// MemoryMeter reads memory. Its methods may be called from any goroutine.
type MemoryMeter struct {
	root  string // in place of / in tests
	group string // directory of the control group below root; empty: the process is measured
	v2    bool
}

// NewMemoryMeter returns a meter of the process's control group where ofGroup
// asks for it, and one of the process alone otherwise. It fails when the group
// cannot be read.
func NewMemoryMeter(ofGroup bool) (*MemoryMeter, error) { return newMemoryMeter("/", ofGroup) }

func newMemoryMeter(root string, ofGroup bool) (*MemoryMeter, error) {
	m := &MemoryMeter{root: root}
	if ofGroup {
		if err := m.findGroup(); err != nil {
			return nil, fmt.Errorf("meter: %w", err)
		}
	}
	if _, err := m.Read(0); err != nil {
		return nil, err
	}
	return m, nil
}

// findGroup looks for the group in which the process's memory is counted. In a
// container the path may be one of the host that is not visible; then the
// mount point is the container's own group.
func (m *MemoryMeter) findGroup() error {
	text, err := m.text("proc/self/cgroup")
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(text, "\n") {
		parts := strings.SplitN(line, ":", 3) // ID:CONTROLLERS:PATH
		if len(parts) != 3 {
			continue
		}
		mount, file, v2 := "sys/fs/cgroup/memory", "memory.usage_in_bytes", false
		switch {
		case parts[0] == "0" && parts[1] == "":
			mount, file, v2 = "sys/fs/cgroup", "memory.current", true
		case !hasWord(parts[1], "memory"):
			continue
		}
		for _, group := range []string{path.Join(mount, path.Clean("/"+parts[2])), mount} {
			if _, err := m.number(path.Join(group, file)); err == nil {
				m.group, m.v2 = group, v2
				return nil
			}
		}
	}
	return errors.New("no control group counts the memory of this process")
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// Read returns what counts now, with so many connections of clients.
func (m *MemoryMeter) Read(conns int) (Memory, error) {
	var r Memory
	text, err := m.text("proc/self/statm") // pages: size, resident, ...
	if err != nil {
		return r, fmt.Errorf("meter: %w", err)
	}
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return r, fmt.Errorf("meter: proc/self/statm: %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return r, fmt.Errorf("meter: proc/self/statm: %w", err)
	}
	r.Resident = pages * int64(os.Getpagesize())
	r.Sockets = int64(conns) * SocketBytes
	r.Charged = r.Resident + r.Sockets
	if m.group == "" {
		return r, nil
	}
	if err := m.readGroup(&r); err != nil {
		return r, fmt.Errorf("meter: %w", err)
	}
	return r, nil
}

func (m *MemoryMeter) readGroup(r *Memory) error {
	usage, cache := "memory.usage_in_bytes", []string{"total_inactive_file", "total_active_file"}
	if m.v2 {
		usage, cache = "memory.current", []string{"inactive_file", "active_file", "slab_reclaimable"}
	}
	charged, err := m.number(path.Join(m.group, usage))
	if err != nil {
		return err
	}
	text, err := m.text(path.Join(m.group, "memory.stat"))
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(text, "\n") {
		name, value, _ := strings.Cut(line, " ")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			continue
		}
		for _, c := range cache {
			if name == c {
				charged -= n
			}
		}
		if m.v2 && name == "sock" {
			r.Sockets += n
		}
	}
	r.Charged = max(charged, 0) // the two files are read one after the other
	return nil
}

func (m *MemoryMeter) text(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(m.root, name))
	return strings.TrimSpace(string(b)), err
}

func (m *MemoryMeter) number(name string) (int64, error) {
	text, err := m.text(name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}
