package probe

import (
	"bytes"
	"errors"
	"os"
	"strconv"
)

// Kernel is what sockets have cost the kernel, and what the network stack has
// counted since boot. Take two and subtract.
type Kernel struct {
	// From /proc/slabinfo, which only root may read: bytes of objects in use.
	SlabReadable bool   `json:"slab_readable"`
	TCP          uint64 `json:"tcp"`      // tcp_sock
	Inodes       uint64 `json:"inodes"`   // sock_inode_cache
	Epoll        uint64 `json:"epoll"`    // eventpoll_epi
	FileSize     uint64 `json:"file"`     // of one struct file
	DentrySize   uint64 `json:"dentry"`   // of one dentry
	TCPSockets   uint64 `json:"sockets"`  // in use, from /proc/net/sockstat
	TimeWait     uint64 `json:"timewait"` // now
	Buffers      uint64 `json:"buffers"`  // bytes of socket buffers
	// Counters of /proc/net/snmp and netstat.
	Retransmits     uint64 `json:"retransmits"`
	ListenOverflows uint64 `json:"listen_overflows"`
	ListenDrops     uint64 `json:"listen_drops"`
	Resets          uint64 `json:"resets_sent"`
	BacklogDrops    uint64 `json:"backlog_drops"`
}

// Kernel reads the present values.
func (p Proc) Kernel() (Kernel, error) {
	var k Kernel
	if text, err := os.ReadFile(p.path("slabinfo")); err == nil {
		k.SlabReadable = true
		slabs := parseSlabs(text)
		k.TCP = slabs["TCP"].inUse() + slabs["TCPv6"].inUse()
		k.Inodes = slabs["sock_inode_cache"].inUse()
		k.Epoll = slabs["eventpoll_epi"].inUse()
		k.FileSize = slabs["filp"].size
		k.DentrySize = slabs["dentry"].size
	}
	sockstat, err := os.ReadFile(p.path("net", "sockstat"))
	if err != nil {
		return k, err
	}
	k.TCPSockets = pair(sockstat, "TCP:", "inuse")
	k.TimeWait = pair(sockstat, "TCP:", "tw")
	k.Buffers = pair(sockstat, "TCP:", "mem") * uint64(os.Getpagesize())
	if v6, err := os.ReadFile(p.path("net", "sockstat6")); err == nil {
		k.TCPSockets += pair(v6, "TCP6:", "inuse")
	}
	snmp, err := os.ReadFile(p.path("net", "snmp"))
	netstat, err2 := os.ReadFile(p.path("net", "netstat"))
	if err := errors.Join(err, err2); err != nil {
		return k, err
	}
	k.Retransmits = table(snmp, "Tcp:", "RetransSegs")
	k.Resets = table(snmp, "Tcp:", "OutRsts")
	k.ListenOverflows = table(netstat, "TcpExt:", "ListenOverflows")
	k.ListenDrops = table(netstat, "TcpExt:", "ListenDrops")
	k.BacklogDrops = table(netstat, "TcpExt:", "TCPBacklogDrop")
	return k, nil
}

// PerSocket is what each TCP socket that was opened since before has cost. The
// tcp_sock, the inode and the epoll item are measured; a struct file and a
// dentry, of which every socket has exactly one, are taken at their size,
// because all programs of the machine create and drop them by the thousand.
// Buffers are left out: an idle socket has none. It is not known when slabinfo
// is not readable or fewer than least sockets were opened.
func (k Kernel) PerSocket(before Kernel, least int) (bytes float64, ok bool) {
	n := float64(k.TCPSockets) - float64(before.TCPSockets)
	if !k.SlabReadable || n < float64(max(least, 1)) {
		return 0, false
	}
	grown := float64(k.TCP) - float64(before.TCP) + float64(k.Inodes) - float64(before.Inodes) +
		float64(k.Epoll) - float64(before.Epoll)
	return grown/n + float64(k.FileSize+k.DentrySize), true
}

type slab struct{ active, size uint64 }

func (s slab) inUse() uint64 { return s.active * s.size }

func parseSlabs(text []byte) map[string]slab {
	out := make(map[string]slab)
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) < 4 {
			continue
		}
		active, err := strconv.ParseUint(string(f[1]), 10, 64)
		size, err2 := strconv.ParseUint(string(f[3]), 10, 64)
		if err == nil && err2 == nil {
			out[string(f[0])] = slab{active, size}
		}
	}
	return out
}

// pair finds "Prefix: name 12 other 3" and returns the value after name.
func pair(text []byte, prefix, name string) uint64 {
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) == 0 || string(f[0]) != prefix {
			continue
		}
		for i := 1; i+1 < len(f); i += 2 {
			if string(f[i]) == name {
				n, _ := strconv.ParseUint(string(f[i+1]), 10, 64)
				return n
			}
		}
	}
	return 0
}

// table finds a column in the pairs of lines of /proc/net/snmp and netstat:
// names first, then values, both with the same prefix.
func table(text []byte, prefix, name string) uint64 {
	var names [][]byte
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) == 0 || string(f[0]) != prefix {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i := range min(len(names), len(f)) {
			if string(names[i]) == name {
				n, _ := strconv.ParseUint(string(f[i]), 10, 64)
				return n
			}
		}
	}
	return 0
}
