package sysctl

import "fmt"

const (
	// stallSeconds is how long a loop may be kept from accepting (a garbage
	// collection, a busy neighbour) without a connection being dropped.
	stallSeconds = 1
	// handshakeSeconds is how long a half-open connection waits for its last ACK:
	// a round trip, or the first retransmission after 1 s (RFC 6298).
	handshakeSeconds = 1
	// backlogLeast is below no need: a small queue costs nothing while empty.
	backlogLeast = 1024
	// backlogMost is what listen(2) gets at most: the reactor's library cuts larger
	// values to the 16 bits that old kernels hold.
	backlogMost = 65535
	// packetsPerConnect are those that a new connection sends us: SYN, ACK, the
	// upgrade request, the ACK of our answer.
	packetsPerConnect = 4
	// softirqMs is how long packets wait for a busy CPU to get to them.
	softirqMs = 20
	// backlogDefault is the kernel's own netdev_max_backlog.
	backlogDefault = 1000
	// keepaliveLeast keeps kernel probes rarer than the gateway's own heartbeat.
	keepaliveLeast = 60
)

// backlog is what arrives on one listener in so many seconds of the worst rate.
func (f facts) backlog(seconds int64) (want int64, math string) {
	arriving := ceilDiv(mul(mul(f.need.Rate, seconds), planSlots), mul(f.plan.Loops, planFilled))
	want = min(max(roundPow2(arriving), backlogLeast), backlogMost)
	return want, fmt.Sprintf("%s/s x %d s / %s x %d/%d for uneven shares = %s, as a power of two from %s to %s",
		Count(f.need.Rate), seconds, plural(f.plan.Loops, "listener"), planSlots, planFilled, Count(arriving), Count(backlogLeast), Count(backlogMost))
}

func acceptParameters() []Parameter {
	return []Parameter{
		{
			Name: "net.core.somaxconn", File: sysctlFile("net.core.somaxconn"), Unit: unitConnections, Scope: ScopeNetns, Required: true,
			Reason: "Caps the accept queue of each listener (one per event loop). When it is full the kernel drops SYNs and last ACKs, and " +
				"clients wait a second or more to try again. Read once, when the gateway starts. Was 128 before Linux 5.4.",
			Source: docIP + "; listen(2)",
			rule: func(f facts) Rule {
				want, math := f.backlog(stallSeconds)
				return atLeast(want, "%s", math)
			},
		},
		{
			Name: "net.ipv4.tcp_max_syn_backlog", File: sysctlFile("net.ipv4.tcp_max_syn_backlog"), Unit: unitConnections, Scope: ScopeNetns,
			NetnsSince: Version{4, 11},
			Reason: "Half-open handshakes of each listener. Since Linux 4.4 it binds only with tcp_syncookies=0; otherwise the listener's " +
				"backlog (somaxconn) bounds them and cookies take over.",
			Source: docIP + "; tcp_conn_request() in net/ipv4/tcp_input.c",
			rule: func(f facts) Rule {
				want, math := f.backlog(handshakeSeconds)
				return atLeast(want, "%s", math)
			},
		},
		{
			Name: "net.ipv4.tcp_syncookies", File: sysctlFile("net.ipv4.tcp_syncookies"), Unit: unitSwitch, Scope: ScopeNetns,
			NetnsSince: Version{4, 6}, KubeSafe: "1.4", KernelDefault: numbers(1),
			Reason: "With 0 a full SYN queue drops real clients during a SYN flood; 2 sends cookies always, which is for tests and costs TCP options.",
			Source: docIP,
			rule:   func(facts) Rule { return oneOf([]int64{1}, "cookies only when the queue overflows") },
		},
		{
			Name: "net.core.netdev_max_backlog", File: sysctlFile("net.core.netdev_max_backlog"), Unit: unitPackets, Scope: ScopeHost,
			Reason: "Packets that wait for one CPU on paths without NAPI: loopback, veth (containers), receive packet steering. More are dropped.",
			Source: docNet,
			rule: func(f facts) Rule {
				perSecond := add(mul(f.need.Rate, packetsPerConnect), mul(f.framesPerSecond(), 2))
				cpus := max(f.host.CPUs, 1)
				waiting := ceilDiv(mul(perSecond, softirqMs), mul(cpus, 1000))
				want := int64(backlogDefault)
				if waiting > want {
					want = roundPow2(waiting)
				}
				return atLeast(want, "(%s/s x %d packets + %s messages/s x 2) x %d ms / %s = %s, at least the default 1,000",
					Count(f.need.Rate), packetsPerConnect, Count(f.framesPerSecond()), softirqMs, plural(cpus, "CPU"), Count(waiting))
			},
		},
		{
			Name: "net.ipv4.tcp_migrate_req", File: sysctlFile("net.ipv4.tcp_migrate_req"), Unit: unitSwitch, Scope: ScopeNetns,
			Since: Version{5, 14},
			Reason: "When one listener of a SO_REUSEPORT group closes (drain, hand-over), its queued connections move to another listener instead " +
				"of being reset.",
			Source: docIP,
			rule:   func(facts) Rule { return oneOf([]int64{1}, "one listener per event loop, all in one group") },
		},
		{
			Name: "net.ipv4.ip_local_port_range", File: sysctlFile("net.ipv4.ip_local_port_range"), Unit: unitPorts, Scope: ScopeNetns,
			KubeSafe: "1.4", KernelDefault: numbers(32768, 60999),
			Reason: "Matters only to a host that dials out: each connection to one address and port takes a local port. Accepted connections take none.",
			Source: docIP,
			rule:   portRule,
		},
		{
			Name: "net.ipv4.tcp_tw_reuse", File: sysctlFile("net.ipv4.tcp_tw_reuse"), Unit: unitSwitch, Scope: ScopeNetns,
			NetnsSince: Version{4, 11},
			Reason: "Lets connect(2) take a port that is still in TIME-WAIT; it does nothing for accepted connections. " +
				"2, the default since Linux 4.19, is for loopback alone.",
			Source: docIP,
			rule: func(f facts) Rule {
				if f.need.Outbound == 0 {
					return anything("this host does not dial out (--outbound 0)")
				}
				r := oneOf([]int64{1}, "%s connections to one address", Count(f.need.Outbound))
				r.Rank = []int64{0, 2, 1} // never, on loopback, everywhere
				return r
			},
		},
		{
			Name: "net.ipv4.tcp_tw_recycle", File: sysctlFile("net.ipv4.tcp_tw_recycle"), Unit: unitSwitch, Scope: ScopeHost,
			Until:      Version{4, 12},
			NeverWrite: "it no longer exists since Linux 4.12, and was never safe",
			Required:   true,
			Reason:     "With 1 the kernel drops connections from clients that share an address (NAT), because their timestamps differ.",
			Source:     "Linux 4.12, commit 4396e46187ca (tcp: remove tcp_tw_recycle)",
			rule:       func(facts) Rule { return oneOf([]int64{0}, "off; set it by hand") },
		},
	}
}

// A port range is 1024 to 65535 at the widest (ip_unprivileged_port_start).
const portsLow, portsHigh = 1024, 65535

func portRule(f facts) Rule {
	if f.need.Outbound == 0 {
		return anything("this host does not dial out (--outbound 0)")
	}
	const all = portsHigh - portsLow + 1
	addresses := ceilDiv(f.need.Outbound, all)
	// Room for a tenth in TIME-WAIT.
	want := min(add(ceilDiv(f.need.Outbound, addresses), ceilDiv(f.need.Outbound, 10*addresses)), all)
	r := Rule{Op: Span, Want: []int64{portsHigh - want + 1, portsHigh}}
	r.Math = fmt.Sprintf("%s connections / %s + 10%% in TIME-WAIT, of %s at most; keep listening ports out of it with ip_local_reserved_ports",
		Count(f.need.Outbound), plural(addresses, "source address"), Count(all))
	return r
}
