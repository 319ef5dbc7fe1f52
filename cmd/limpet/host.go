package main

import "github.com/limpet-gateway/limpet/sysctl"

// checkHost says in one line each which of this host's settings fall short of
// the connections that the node is meant to hold: what would cost connections
// as a warning, advice as information. It changes nothing.
func (n *node) checkHost() {
	limits := n.engine.Limits()
	need := sysctl.Need{Conns: int64(limits.MaxConns), Loops: int64(limits.Loops), Tables: sysctl.TablesShared}
	if limits.PerLoopTables {
		need.Tables = sysctl.TablesPerLoop
	}
	short, err := sysctl.Startup(sysctl.System(), need)
	if err != nil {
		n.log.Debug("the host's settings were not checked", "err", err)
		return
	}
	for _, s := range short {
		if s.Required {
			n.log.Warn("host: " + s.Line)
		} else {
			n.log.Info("host: " + s.Line)
		}
	}
}
