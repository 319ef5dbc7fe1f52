package probe

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNoListener is returned when nothing listens on an address.
var ErrNoListener = errors.New("nothing listens there")

// ErrHiddenListener is returned when something listens but its process cannot
// be seen.
var ErrHiddenListener = errors.New("its process cannot be found: it belongs to another user or container; give --pid, or run as root")

const tcpListen = "0A" // state in /proc/net/tcp

// Listener finds the process that listens on addr. When several share the
// socket or the port (pre-forked, SO_REUSEPORT), it is the ancestor of the
// others; unrelated ones are an error that lists them.
func (p Proc) Listener(addr netip.AddrPort) (pid int, err error) {
	owners, err := p.listeners(addr)
	if err != nil {
		return 0, err
	}
	return p.eldest(addr, owners)
}

// Listens says whether pid, or a process that descends from it, listens on
// addr. known is false when nobody can be seen to listen there.
func (p Proc) Listens(pid int, addr netip.AddrPort) (listens, known bool) {
	owners, err := p.listeners(addr)
	if err != nil || len(owners) == 0 {
		return false, false
	}
	tree, err := p.Tree(pid)
	return slices.ContainsFunc(tree, func(one int) bool { return slices.Contains(owners, one) }), err == nil
}

// listeners lists the processes that hold a socket which listens on addr, as
// far as they can be seen.
func (p Proc) listeners(addr netip.AddrPort) ([]int, error) {
	inodes := make(map[string]bool)
	if diagListeners(addr, inodes) != nil { // a kernel without inet_diag
		for _, name := range []string{"tcp", "tcp6"} {
			text, err := os.ReadFile(p.path("net", name))
			if err == nil {
				listeningInodes(text, addr, inodes)
			}
		}
	}
	if len(inodes) == 0 {
		return nil, fmt.Errorf("%s: %w", addr, ErrNoListener)
	}
	all, err := p.pids()
	if err != nil {
		return nil, err
	}
	var owners []int
	for _, pid := range all {
		if p.holds(pid, inodes) {
			owners = append(owners, pid)
		}
	}
	return owners, nil
}

// listeningInodes adds the inode of each socket in text, in the format of
// /proc/net/tcp, that listens on addr or on the wildcard address.
func listeningInodes(text []byte, addr netip.AddrPort, inodes map[string]bool) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 10 || f[3] != tcpListen {
			continue
		}
		local, ok := parseHexAddr(f[1])
		if !ok || local.Port() != addr.Port() {
			continue
		}
		if local.Addr().IsUnspecified() || local.Addr().Unmap() == addr.Addr().Unmap() {
			inodes[f[9]] = true
		}
	}
}

// parseHexAddr reads "0100007F:1F90": the address is in 32-bit words of the
// host's byte order, which is little-endian wherever this runs.
func parseHexAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(n)), ok
}

// holds says whether a process has one of the sockets open. Threads may have
// descriptor tables of their own (unshare(2) with CLONE_FILES, as limpet's
// loops do), and those show under task alone.
func (p Proc) holds(pid int, inodes map[string]bool) bool {
	dir := p.path(strconv.Itoa(pid))
	if holdsSocket(filepath.Join(dir, "fd"), inodes) {
		return true
	}
	tasks, err := os.ReadDir(filepath.Join(dir, "task"))
	if err != nil {
		return false
	}
	for _, t := range tasks {
		if t.Name() != strconv.Itoa(pid) && holdsSocket(filepath.Join(dir, "task", t.Name(), "fd"), inodes) {
			return true
		}
	}
	return false
}

func holdsSocket(dir string, inodes map[string]bool) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return false
	}
	for _, name := range names {
		link, err := os.Readlink(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		inode, ok := strings.CutPrefix(link, "socket:[")
		if ok && inodes[strings.TrimSuffix(inode, "]")] {
			return true
		}
	}
	return false
}

// eldest picks the one process of which all others descend.
func (p Proc) eldest(addr netip.AddrPort, owners []int) (int, error) {
	if len(owners) == 0 {
		return 0, fmt.Errorf("%s: %w", addr, ErrHiddenListener)
	}
	for _, pid := range owners {
		tree, err := p.Tree(pid)
		if err != nil {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(owners), func(o int) bool { return slices.Contains(tree, o) })
		if len(rest) == 0 {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("%s: unrelated processes %v listen there: give --pid", addr, owners)
}
