package sysctl

// Scope says what a setting belongs to, and so who can change it.
type Scope string

const (
	ScopeHost    Scope = "host"      // one value for the whole machine
	ScopeNetns   Scope = "netns"     // one for each network namespace, so for each container
	ScopeProcess Scope = "process"   // inherited from what starts the process
	ScopeCgroup  Scope = "cgroup"    // set by what made the cgroup
	ScopeMemory  Scope = "machine"   // not a setting: what the machine has
	scopeNothing Scope = "container" // not a setting: where the process runs
)

// Units, as they are shown.
const (
	unitMemory      = "memory" // bytes, shown as KiB, MiB, GiB
	unitBytes       = "bytes"
	unitCount       = "count"
	unitConnections = "connections"
	unitDescriptors = "descriptors"
	unitPackets     = "packets"
	unitPages       = "pages"
	unitPorts       = "ports"
	unitSeconds     = "seconds"
	unitSwitch      = "switch"
	unitThreads     = "threads"
)

// Parameter is one row of the table: a setting, and the rule for it as data.
type Parameter struct {
	Name string
	// File is where the kernel shows it, below the root; "" when Current reads it
	// from the host's facts.
	File string
	Unit string
	// Word is whether the file holds a choice of words instead of numbers.
	Word  bool
	Scope Scope
	// NetnsSince is the first kernel where a netns setting is one; before, the host
	// has one value. Zero: always was.
	NetnsSince Version
	// Since is the first kernel that has it, Until the first that has it no more.
	Since, Until Version
	// Missing, when not "", is why a kernel that should have it may lack it and
	// need none.
	Missing string
	// Required settings fail the check when they fall short: connections would be
	// refused or lost. The others are advice for bad days.
	Required bool
	// NeverWrite, when not "", is why nothing here ever writes it.
	NeverWrite string
	// KubeSafe is the first Kubernetes whose kubelet allows it to any pod; "" means
	// that the kubelet must allow it (--allowed-unsafe-sysctls).
	KubeSafe string
	// KernelDefault is what the kernel starts with, where that is the same on every
	// machine. Files for other hosts and containers start from it.
	KernelDefault Value
	// Reason says what goes wrong without it, Source where that is documented.
	Reason, Source string

	current func(Host) (Value, error)
	rule    func(facts) Rule
}

// Parameters returns the table, in the order in which an operator reads it:
// descriptors, accepting, TCP, memory, what surrounds the process.
func Parameters() []Parameter {
	var all []Parameter
	for _, part := range [][]Parameter{fileParameters(), acceptParameters(), tcpParameters(), memoryParameters(), hostParameters()} {
		all = append(all, part...)
	}
	return all
}

// Where the reasons come from. Paths are in the Linux source tree.
const (
	docIP        = "Documentation/networking/ip-sysctl.rst"
	docNet       = "Documentation/admin-guide/sysctl/net.rst"
	docFS        = "Documentation/admin-guide/sysctl/fs.rst"
	docVM        = "Documentation/admin-guide/sysctl/vm.rst"
	docConntrack = "Documentation/networking/nf_conntrack-sysctl.rst"
	docTHP       = "Documentation/admin-guide/mm/transhuge.rst"
	docCgroup2   = "Documentation/admin-guide/cgroup-v2.rst"
)

func sysctlFile(name string) string {
	b := []byte("proc/sys/" + name)
	for i, c := range b {
		if c == '.' {
			b[i] = '/'
		}
	}
	return string(b)
}
