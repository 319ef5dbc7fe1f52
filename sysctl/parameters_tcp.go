package sysctl

import "fmt"

const (
	timeWaitSeconds = 60 // TCP_TIMEWAIT_LEN, fixed in the kernel
	// smallBuffer is the initial receive or send buffer for idle connections,
	// bytes. Autotuning grows it for those that move data.
	smallBuffer = 16384
	// tcpMemShare is the part of memory that tcp_mem may promise at its pressure
	// mark: a quarter. The kernel's own default is a sixteenth.
	tcpMemShare = 4
)

func tcpParameters() []Parameter {
	return []Parameter{
		{
			Name: "net.ipv4.tcp_mem", File: sysctlFile("net.ipv4.tcp_mem"), Unit: unitPages, Scope: ScopeHost, Required: true,
			Reason: "Pages that all TCP buffers may take: low, pressure, high. Above pressure windows shrink, above high segments are dropped. " +
				"A socket with anything queued is charged whole pages, an idle one none.",
			Source: docIP + "; __sk_mem_raise_allocated() in net/core/sock.c",
			rule:   tcpMemRule,
		},
		{
			Name: "net.ipv4.tcp_rmem", File: sysctlFile("net.ipv4.tcp_rmem"), Unit: unitBytes, Scope: ScopeNetns,
			NetnsSince: Version{4, 15}, KubeSafe: "1.32", KernelDefault: numbers(4096, 131072, 6291456),
			Reason: "The middle field is what a client may leave unread in the kernel before autotuning. It is a limit, no memory is taken " +
				"while idle; the outer fields stay.",
			Source: docIP,
			rule:   func(f facts) Rule { return f.smallBufferRule("a peer that sends faster than it is read parks") },
		},
		{
			Name: "net.ipv4.tcp_wmem", File: sysctlFile("net.ipv4.tcp_wmem"), Unit: unitBytes, Scope: ScopeNetns,
			NetnsSince: Version{4, 15}, KubeSafe: "1.32", KernelDefault: numbers(4096, 16384, 4194304),
			Reason: "The middle field is what the gateway may leave unsent in the kernel for a slow client before autotuning. It is a limit, no " +
				"memory is taken while idle; the outer fields stay.",
			Source: docIP,
			rule:   func(f facts) Rule { return f.smallBufferRule("a peer that does not read holds") },
		},
		{
			Name: "net.ipv4.tcp_max_orphans", File: sysctlFile("net.ipv4.tcp_max_orphans"), Unit: unitConnections, Scope: ScopeHost,
			Reason: "Closed connections whose last bytes nobody acknowledged. When a network fails, heartbeats close all of its clients within a " +
				"minute and each stays an orphan for 8 retries, 100 s and more; above the limit they are reset with a warning.",
			Source: docIP + "; tcp_orphan_retries() in net/ipv4/tcp_timer.c",
			rule: func(f facts) Rule {
				return atLeast(f.need.Conns, "%s connections, all lost at once", Count(f.need.Conns))
			},
		},
		{
			Name: "net.ipv4.tcp_max_tw_buckets", File: sysctlFile("net.ipv4.tcp_max_tw_buckets"), Unit: unitConnections, Scope: ScopeNetns,
			NetnsSince: Version{4, 11},
			Reason: "Connections in TIME-WAIT, which stay with the side that closed first (the gateway, on drain). Above the limit they are " +
				"forgotten early and late segments are answered with resets.",
			Source: docIP,
			rule: func(f facts) Rule {
				return atLeast(min(f.need.Conns, mul(f.need.Rate, timeWaitSeconds)), "the lesser of %s connections and %s/s x %d s",
					Count(f.need.Conns), Count(f.need.Rate), timeWaitSeconds)
			},
		},
		{
			Name: "net.ipv4.tcp_fin_timeout", File: sysctlFile("net.ipv4.tcp_fin_timeout"), Unit: unitSeconds, Scope: ScopeNetns,
			NetnsSince: Version{4, 6}, KubeSafe: "1.29", KernelDefault: numbers(60),
			Reason: "How long a closed connection waits in FIN-WAIT-2 for the client's FIN. Up to 60 s it waits as a small TIME-WAIT entry, above as a " +
				"whole socket. It does not shorten TIME-WAIT.",
			Source: docIP + "; tcp_rcv_state_process() in net/ipv4/tcp_input.c",
			rule: func(facts) Rule {
				return atMost(timeWaitSeconds, "TCP_TIMEWAIT_LEN is %d s; above it a whole socket waits", timeWaitSeconds)
			},
		},
		{
			Name: "net.ipv4.tcp_keepalive_time", File: sysctlFile("net.ipv4.tcp_keepalive_time"), Unit: unitSeconds, Scope: ScopeNetns,
			NetnsSince: Version{4, 5}, KubeSafe: "1.29", KernelDefault: numbers(7200),
			Reason: "Silence before the kernel probes a socket that asked for it (SO_KEEPALIVE). The gateway's own heartbeat finds dead peers " +
				"first; a short time here only adds packets.",
			Source: docIP,
			rule: func(f facts) Rule {
				return atLeast(keepaliveLeast, "heartbeat every %d s; %s connections / %d s = %s probes/s at most",
					heartbeatSeconds, Count(f.need.Conns), keepaliveLeast, Count(ceilDiv(f.need.Conns, keepaliveLeast)))
			},
		},
		{
			Name: "net.ipv4.tcp_keepalive_intvl", File: sysctlFile("net.ipv4.tcp_keepalive_intvl"), Unit: unitSeconds, Scope: ScopeNetns,
			NetnsSince: Version{4, 5}, KubeSafe: "1.29",
			Reason: "Between the kernel's probes of a socket that did not answer.",
			Source: docIP,
			rule:   func(facts) Rule { return anything("the gateway's heartbeat closes a dead peer first") },
		},
		{
			Name: "net.ipv4.tcp_keepalive_probes", File: sysctlFile("net.ipv4.tcp_keepalive_probes"), Unit: unitCount, Scope: ScopeNetns,
			NetnsSince: Version{4, 5}, KubeSafe: "1.29",
			Reason: "Probes without an answer before the kernel resets the connection.",
			Source: docIP,
			rule:   func(facts) Rule { return anything("the gateway's heartbeat closes a dead peer first") },
		},
		{
			Name: "net.netfilter.nf_conntrack_max", File: sysctlFile("net.netfilter.nf_conntrack_max"), Unit: unitConnections, Scope: ScopeHost,
			Required: true, Missing: "nf_conntrack is not loaded",
			Reason: "Flows that the firewall remembers, where nf_conntrack is loaded; when the table is full new connections are dropped without " +
				"an answer. A NOTRACK rule for the gateway's port avoids it. Only the initial network namespace can set it.",
			Source: docConntrack,
			rule: func(f facts) Rule {
				r := atLeast(f.conntrackFlows(), "%s connections + as many as close in %d s (%s/s): %s x %s B = %s",
					Count(f.need.Conns), conntrackCloseSeconds, Count(f.need.Rate), Count(f.conntrackFlows()),
					Count(max(f.host.ConntrackEntry, conntrackEntryBytes)), Bytes(mul(f.conntrackFlows(), max(f.host.ConntrackEntry, conntrackEntryBytes))))
				r.ZeroUnlimited = true
				return r
			},
		},
	}
}

// tcpMemRule wants room for one message queued on every socket at once, which is
// what a broadcast to slow clients comes to, in the kernel's own proportion
// 3 : 4 : 6 (tcp_init_mem() in net/ipv4/tcp.c).
func tcpMemRule(f facts) Rule {
	pressure := mul(f.need.Conns, f.messagePages())
	math := fmt.Sprintf("one message queued on each: %s x %s = %s pages of %s = %s at pressure",
		Count(f.need.Conns), plural(f.messagePages(), "page"), Count(pressure), Bytes(f.host.PageSize), Bytes(mul(pressure, f.host.PageSize)))
	if most := f.host.MemTotal / tcpMemShare / f.host.PageSize; f.host.MemTotal > 0 && pressure > most {
		busy := f.buffers().Bytes / f.host.PageSize * 2
		pressure = max(most, busy)
		math += fmt.Sprintf(", held to a quarter of %s: %s pages", Bytes(f.host.MemTotal), Count(pressure))
		if busy > most {
			math += " (twice what the stated traffic needs)"
		}
	}
	low := pressure / 4 * 3
	return Rule{Op: AtLeast, Want: []int64{low, pressure, max(pressure, 2*low)}, Math: math}
}

func (f facts) smallBufferRule(what string) Rule {
	return Rule{Op: AtMost, Want: []int64{Keep, smallBuffer, Keep},
		Math: fmt.Sprintf("%s up to this: %s x %s = %s at worst", what, Count(f.need.Conns), Bytes(smallBuffer), Bytes(mul(f.need.Conns, smallBuffer)))}
}
