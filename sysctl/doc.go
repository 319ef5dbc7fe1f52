// Package sysctl answers one question before the first outage: can this host
// hold N connections, and if not, which setting stops it?
//
// It is a table of parameters as data (Parameters), each with a rule that turns
// what the operator needs (Need) and what the host is (Host) into a required
// value with the arithmetic written out. Everything else reads that table:
//
//	Inspect          what this host is: kernel, memory, limits, cgroup, container
//	Measure          what one socket costs on this kernel, by opening a few thousand
//	ReadGatewayCost  what the gateway itself takes, from benchmark results
//	Check            the table of setting, current, needed, verdict, why
//	Capacity         memory for N connections, or connections for a memory; what binds
//	Render           files for sysctl.d, limits.d, systemd, compose, Kubernetes
//	Apply            writes what differs, upwards only, with a way back (Restore)
//	Startup          one line for each shortfall, for the gateway's own start
//
// It stands beside the way of the data, not in it: nothing here runs while
// messages flow. Only Apply and Restore change the host; Startup never does.
//
// Threads: no goroutines and no global state. All functions are safe for
// concurrent use on different roots; of two Apply or Restore calls with one
// restore file at a time, the second is refused.
//
// Files are read and written below a Root, so that tests hold old kernels,
// containers and broken hosts in a directory. A file that is missing, unreadable
// or absurd never stops a check: its row says so and the others stand.
//
// It leaves to others: raising the process's own soft limit and choosing event
// loops (the gateway does both at its start), and command-line flags (cmd).
package sysctl
