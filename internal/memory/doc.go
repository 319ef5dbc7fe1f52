// Package memory sets the limits of the Go runtime's memory: how far the heap
// grows between collections (GOGC), and the soft limit above which it collects
// harder (GOMEMLIMIT).
//
// Both come from the configuration and the control group, and win over the
// variables GOGC and GOMEMLIMIT: a collector that somebody switched off in an
// image's environment ends the process at the first wave of messages.
//
// A third number goes with them, the budget: what the process and its sockets
// in the kernel may take together, by default four fifths of what the control
// group allows. The runtime does not know it; internal/overload keeps the
// process below it. The soft limit is never more than five eighths of the
// budget, which is what the two defaults are to each other: the collector works
// harder first, and only then anything is given up.
//
// The limit is a share of what the control group allows, by default half. The
// kernel charges its sockets to the same group, about 4 KiB each, several
// times what this process keeps for a session: a limit near the whole would
// leave no room for them.
package memory
