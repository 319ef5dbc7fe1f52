package sysctl

import (
	"fmt"
	"strings"
)

// referenceInputs are what the documentation is worked out for.
func referenceInputs() (Host, Inputs) {
	return Host{
			Kernel: Version{6, 12}, PageSize: 4096, CPUs: 4, MemTotal: 16 << 30, MemAvailable: 15 << 30, SwapTotal: 2 << 30, CommitLimit: 10 << 30, CommittedAS: 1 << 30,
			NofileSoft: 1024, NofileHard: 524288, NrOpen: 1048576, FilesInUse: 2000,
			Cgroup: Cgroup{Version: 2, Memory: Unlimited, Pids: Unlimited}, InitialNetns: true,
			ConntrackEntry: conntrackEntryBytes, MaxPtesNone: 511,
		}, Inputs{Need: Need{Conns: 1_000_000, Rate: 12_000, Tables: TablesShared}, Kernel: DefaultKernelCost(),
			Gateway: DefaultGatewayCost()}
}

func writeMarkdown(b *strings.Builder) {
	h, in := referenceInputs()
	f := newFacts(h, in.Need, in.Kernel, in.Gateway)
	fmt.Fprintf(b, `What %s connections and %s new ones a second ask of a host with %d CPUs and %s of memory
(Linux %s, one descriptor table). For another host and number, ask
`+"`limpet sysctl check --conns N`"+`; `+"`limpet sysctl apply`"+` and `+"`limpet sysctl render`"+` act on it.
Without the settings in **bold** connections are refused or lost, the others help on bad days.

| setting | needed | scope | why |
|---|---|---|---|
`, Count(f.need.Conns), Count(f.need.Rate), h.CPUs, Bytes(h.MemTotal), h.Kernel)
	for _, p := range Parameters() {
		if p.Scope == scopeNothing {
			continue
		}
		rule := p.rule(f)
		name := p.Name
		if p.Required {
			name = "**" + name + "**"
		}
		scope := string(p.Scope)
		if p.NetnsSince != (Version{}) {
			scope += fmt.Sprintf(" (since Linux %s)", p.NetnsSince)
		}
		why := p.Reason
		if p.Since != (Version{}) {
			why = fmt.Sprintf("Since Linux %s. %s", p.Since, why)
		}
		if p.Until != (Version{}) {
			why = fmt.Sprintf("Gone in Linux %s, never written. %s", p.Until, why)
		}
		if rule.Op != Any {
			why += " *" + rule.Math + "*"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, strings.ReplaceAll(rule.text(p.Unit), "<", "&lt;"), scope, why)
	}
	e := f.estimate()
	fmt.Fprintf(b, "\nThe memory, by the same arithmetic (`limpet sysctl capacity --conns N`):\n\n| part | size | |\n|---|---|---|\n")
	for _, item := range e.Items {
		fmt.Fprintf(b, "| %s | %s | %s |\n", item.Name, Bytes(item.Bytes), item.Math)
	}
	fmt.Fprintf(b, "| **total** | **%s** | %s a connection |\n", Bytes(e.Total), perConnection(e))
}
