package sysctl

// nofileHardName is looked up by the files that set it.
const nofileHardName = "RLIMIT_NOFILE hard"

// fileSlack is what file-max leaves to the rest of the host.
const fileSlack = 8192

func fileParameters() []Parameter {
	return []Parameter{
		{
			Name: nofileHardName, Unit: unitDescriptors, Scope: ScopeProcess, Required: true,
			Reason: "Each connection is a descriptor; accept(2) fails with EMFILE at the limit. It counts per descriptor table: " +
				"with --fd-tables per-loop each event loop has its own.",
			Source:  "getrlimit(2); unshare(2), CLONE_FILES",
			current: func(h Host) (Value, error) { return known(h.NofileHard) },
			rule:    func(f facts) Rule { return atLeast(f.plan.Descriptors, "%s", f.plan.Math) },
		},
		{
			Name: "RLIMIT_NOFILE soft", Unit: unitDescriptors, Scope: ScopeProcess,
			Reason:  "The gateway raises its own soft limit to the hard one at start, so only the hard one must be set.",
			Source:  "setrlimit(2)",
			current: func(h Host) (Value, error) { return known(h.NofileSoft) },
			rule: func(facts) Rule {
				return anything("limpet serve raises it to the hard limit by itself")
			},
		},
		{
			Name: "fs.nr_open", File: sysctlFile("fs.nr_open"), Unit: unitDescriptors, Scope: ScopeHost, Required: true,
			KernelDefault: numbers(1048576),
			Reason:        "The ceiling of RLIMIT_NOFILE: a higher hard limit cannot be set (EPERM).",
			Source:        docFS,
			rule: func(f facts) Rule {
				return atLeast(f.plan.Descriptors, "RLIMIT_NOFILE needs %s in each descriptor table", Count(f.plan.Descriptors))
			},
		},
		{
			Name: "fs.file-max", File: sysctlFile("fs.file-max"), Unit: unitDescriptors, Scope: ScopeHost, Required: true,
			Reason: "Open files of the whole machine, all processes and containers together; above it open and accept fail with ENFILE.",
			Source: docFS,
			rule: func(f facts) Rule {
				return atLeast(add(f.host.FilesInUse, f.need.Conns, fileSlack), "%s open now + %s connections + %s for the rest of the host",
					Count(f.host.FilesInUse), Count(f.need.Conns), Count(fileSlack))
			},
		},
		{
			Name: "fs.epoll.max_user_watches", File: sysctlFile("fs.epoll.max_user_watches"), Unit: unitConnections, Scope: ScopeHost, Required: true,
			Reason: "Sockets that one user may have in all its epoll sets; EPOLL_CTL_ADD fails with ENOSPC above it.",
			Source: docFS + "; epoll(7)",
			rule: func(f facts) Rule {
				return atLeast(add(f.need.Conns, reserveMost), "%s connections + %s for other sockets of the same user",
					Count(f.need.Conns), Count(reserveMost))
			},
		},
	}
}

// known refuses a 0 that stands for "could not be read".
func known(n int64) (Value, error) {
	if n == 0 {
		return Value{}, errUnread
	}
	return numbers(n), nil
}
