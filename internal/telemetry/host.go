package telemetry

import (
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
)

// procRoot is where the kernel tells of itself.
const procRoot = "/proc"

var (
	hostSockets     = gauge("host_tcp_sockets", "TCP sockets of the network namespace by state, as sums that the kernel keeps: in_use (all but time_wait), established (with close_wait), time_wait, orphan, allocated; and counted at most every 15 s where no more than 262144 are allocated: syn_sent, syn_received, fin_wait1, fin_wait2, close_wait, last_ack, closing.", "state")
	hostMemory      = gauge("host_tcp_memory_bytes", "Memory of the buffers of all TCP sockets of the network namespace.")
	hostOverflows   = counter("host_listen_overflows_total", "Connections that found the accept queue of a listener full, in the network namespace.")
	hostDrops       = counter("host_listen_drops_total", "Connections that a listener dropped for any reason, overflows included.")
	hostRetransmits = counter("host_tcp_retransmits_total", "TCP segments that were sent again.")
	hostTimeouts    = counter("host_tcp_timeouts_total", "Expired retransmission timers of TCP.")

	hostFamilies = []family{hostSockets, hostMemory, hostOverflows, hostDrops, hostRetransmits, hostTimeouts}
)

// Host is what the kernel says about TCP in the network namespace of the
// process, other processes included. All but States are sums that it keeps.
type Host struct {
	InUse       int64 `json:"in_use"`
	Established int64 `json:"established"`
	TimeWait    int64 `json:"time_wait"`
	Orphan      int64 `json:"orphan"`
	Allocated   int64 `json:"allocated"`
	BufferBytes int64 `json:"buffer_bytes"`
	// States are sockets by the states of which there is no sum.
	States      map[string]int64 `json:"states,omitempty"`
	StatesError string           `json:"states_error,omitempty"` // why they are missing

	ListenOverflows int64 `json:"listen_overflows"` // since boot, as the others below
	ListenDrops     int64 `json:"listen_drops"`
	Retransmits     int64 `json:"retransmits"`
	Timeouts        int64 `json:"timeouts"`
}

// ReadHost reads three small files below root, which is /proc but in tests.
func ReadHost(root string) (Host, error) {
	var h Host
	fs, err := procfs.NewFS(root)
	if err != nil {
		return h, fmt.Errorf("host: %w", err)
	}
	for _, read := range []func() (*procfs.NetSockstat, error){fs.NetSockstat, fs.NetSockstat6} {
		stat, err := read()
		if os.IsNotExist(err) {
			continue // a host without IPv6
		}
		if err != nil {
			return h, fmt.Errorf("host: %w", err)
		}
		h.addSockets(stat)
	}
	self, err := fs.Self()
	if err != nil {
		return h, fmt.Errorf("host: %w", err)
	}
	ext, err := self.Netstat()
	if err != nil {
		return h, fmt.Errorf("host: %w", err)
	}
	snmp, err := self.Snmp()
	if err != nil {
		return h, fmt.Errorf("host: %w", err)
	}
	h.ListenOverflows, h.ListenDrops = whole(ext.ListenOverflows), whole(ext.ListenDrops)
	h.Timeouts = whole(ext.TCPTimeouts)
	h.Retransmits, h.Established = whole(snmp.RetransSegs), whole(snmp.CurrEstab)
	return h, nil
}

func (h *Host) addSockets(stat *procfs.NetSockstat) {
	for _, p := range stat.Protocols {
		if p.Protocol != "TCP" && p.Protocol != "TCP6" {
			continue
		}
		h.InUse += int64(p.InUse)
		h.Orphan += orZero(p.Orphan)
		h.TimeWait += orZero(p.TW)
		h.Allocated += orZero(p.Alloc)
		h.BufferBytes += orZero(p.Mem) * int64(os.Getpagesize())
	}
}

func orZero(n *int) int64 {
	if n == nil {
		return 0
	}
	return int64(*n)
}

// whole is 0 for what this kernel does not count.
func whole(v *float64) int64 {
	if v == nil {
		return 0
	}
	return int64(*v)
}

func collectHost(to chan<- prometheus.Metric, h Host) {
	send(to, hostSockets, h.InUse, "in_use")
	send(to, hostSockets, h.Established, "established")
	send(to, hostSockets, h.TimeWait, "time_wait")
	send(to, hostSockets, h.Orphan, "orphan")
	send(to, hostSockets, h.Allocated, "allocated")
	for state, n := range h.States {
		send(to, hostSockets, n, state)
	}
	send(to, hostMemory, h.BufferBytes)
	send(to, hostOverflows, h.ListenOverflows)
	send(to, hostDrops, h.ListenDrops)
	send(to, hostRetransmits, h.Retransmits)
	send(to, hostTimeouts, h.Timeouts)
}
