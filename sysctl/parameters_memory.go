package sysctl

const (
	mapCountDefault = 65530   // the kernel's own default, DEFAULT_MAX_MAP_COUNT
	hugePageBytes   = 2 << 20 // the Go runtime changes page advice in these steps
	mapsBeside      = 1024    // mappings of libraries, stacks and the runtime
	swappinessMost  = 10
	// threadSlack are the threads beside event loops: the runtime's, Kafka's and
	// Redis's clients in system calls, the collector.
	threadSlack = 128
)

func memoryParameters() []Parameter {
	return []Parameter{
		{
			Name: "memory available", Unit: unitMemory, Scope: ScopeMemory, Required: true,
			Reason:  "Kernel sockets, buffers and the gateway together; short of it the kernel kills the gateway. See limpet sysctl capacity for the parts.",
			Source:  "proc_meminfo(5), MemAvailable",
			current: func(h Host) (Value, error) { return known(h.MemAvailable) },
			rule:    memoryRule,
		},
		{
			Name: "cgroup memory limit", Unit: unitMemory, Scope: ScopeCgroup, Required: true,
			Reason:  "Sockets and their buffers are charged to the cgroup like the gateway's own memory; at memory.high it stalls, at memory.max it is killed.",
			Source:  docCgroup2,
			current: func(h Host) (Value, error) { return cgroupLimit(h, h.Cgroup.Memory) },
			rule:    memoryRule,
		},
		{
			Name: "cgroup pids limit", Unit: unitThreads, Scope: ScopeCgroup, Required: true,
			Reason:  "Each event loop is a thread, and the Go runtime aborts the process when a thread cannot be made.",
			Source:  docCgroup2,
			current: func(h Host) (Value, error) { return cgroupLimit(h, h.Cgroup.Pids) },
			rule: func(f facts) Rule {
				return atLeast(add(f.plan.Loops, f.host.CPUs, threadSlack), "%s + %s + %s for the runtime and clients of Kafka and Redis",
					plural(f.plan.Loops, "event loop"), plural(f.host.CPUs, "CPU"), Count(threadSlack))
			},
		},
		{
			Name: "vm.max_map_count", File: sysctlFile("vm.max_map_count"), Unit: unitCount, Scope: ScopeHost,
			KernelDefault: numbers(mapCountDefault),
			Reason:        "Mappings of one process. The Go runtime needs few; at worst one for each 2 MiB of heap whose page advice differs.",
			Source:        docVM + "; Go, commit 44078a32 (adjust huge page flags only on huge page granularity)",
			rule: func(f facts) Rule {
				heap := add(f.gateway.BaseBytes, mul(f.need.Conns, f.gateway.SessionBytes))
				want := add(ceilDiv(heap, hugePageBytes), mapsBeside)
				return atLeast(max(want, mapCountDefault), "%s of heap / 2 MiB + %s = %s, at least the default %s",
					Bytes(heap), Count(mapsBeside), Count(want), Count(mapCountDefault))
			},
		},
		{
			Name: "vm.overcommit_memory", File: sysctlFile("vm.overcommit_memory"), Unit: unitSwitch, Scope: ScopeHost, Required: true,
			KernelDefault: numbers(0),
			Reason:        "With 2 the kernel refuses memory that is only reserved, and the Go runtime, which maps its heap ahead, aborts at the commit limit.",
			Source:        "Documentation/mm/overcommit-accounting.rst",
			rule: func(f facts) Rule {
				return oneOf([]int64{0, 1}, "in mode 2 this host has %s left of a commit limit of %s", Bytes(max(0, f.host.CommitLimit-f.host.CommittedAS)), Bytes(f.host.CommitLimit))
			},
		},
		{
			Name: "vm.swappiness", File: sysctlFile("vm.swappiness"), Unit: unitCount, Scope: ScopeHost,
			Reason: "Idle sessions look like memory to swap out; the next garbage collection or heartbeat reads all of it back and the loops stall.",
			Source: docVM,
			rule: func(f facts) Rule {
				if f.host.SwapTotal == 0 {
					return anything("this host has no swap")
				}
				return atMost(swappinessMost, "%s of swap", Bytes(f.host.SwapTotal))
			},
		},
		{
			Name: "transparent_hugepage", File: "sys/kernel/mm/transparent_hugepage/enabled", Unit: unitSwitch, Word: true, Scope: ScopeHost,
			Missing: "this kernel is built without huge pages",
			Reason: "With always, khugepaged backs sparse heap with 2 MiB pages again after the Go runtime returned parts of it, and resident " +
				"memory grows. max_ptes_none=0 avoids the same.",
			Source: docTHP + "; go.dev/doc/gc-guide (Linux transparent huge pages)",
			rule: func(f facts) Rule {
				if f.host.MaxPtesNone == 0 {
					return anything("khugepaged/max_ptes_none is 0: returned memory stays returned")
				}
				return Rule{Op: OneWord, Words: []string{"madvise", "never"}, Math: "khugepaged/max_ptes_none=0 would do as well"}
			},
		},
	}
}

func memoryRule(f facts) Rule {
	e := f.estimate()
	return atLeast(e.Total, "%s of kernel sockets + %s of gateway + %s of buffers + other parts and head-room",
		Bytes(e.Items[0].Bytes), Bytes(e.Items[2].Bytes), Bytes(e.Items[3].Bytes))
}

func cgroupLimit(h Host, n int64) (Value, error) {
	if h.Cgroup.Version == 0 {
		return Value{}, errNoCgroup
	}
	return known(n)
}

func hostParameters() []Parameter {
	return []Parameter{
		{
			Name: "container", Unit: unitSwitch, Scope: scopeNothing, Word: true,
			Reason: "In a container, settings of the host cannot be changed from inside, and some are not visible.",
			Source: "network_namespaces(7)",
			current: func(h Host) (Value, error) {
				word := "no"
				if h.Container != "" {
					word = h.Container
				}
				if !h.InitialNetns {
					word += ", own network namespace"
				}
				return Value{Word: word}, nil
			},
			rule: func(f facts) Rule {
				if f.host.Container == "" && f.host.InitialNetns {
					return anything("every setting is this host's own")
				}
				if f.host.InitialNetns {
					return anything("shares the host's network namespace: settings of scope netns are the host's too")
				}
				return anything("settings of scope netns belong to this namespace, the others to the node")
			},
		},
	}
}
