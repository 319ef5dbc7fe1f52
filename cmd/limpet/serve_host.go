package main

import (
	"context"
	"log/slog"

	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/sysctl"
)

// checkHost tells which settings of the host fall short of the connections that
// this node takes. It changes nothing and stops nothing: a host that falls short
// serves until it meets the limit.
func (n *node) checkHost(context.Context) error {
	var err error
	n.hostLimits, err = tellShortfalls(n.log, sysctl.System(), hostNeed(n.engine.Limits()))
	return err
}

// hostNeed is what the engine will hold, in the words of the check.
func hostNeed(l reactor.Limits) sysctl.Need {
	need := sysctl.Need{Conns: int64(l.MaxConns), Loops: int64(l.Loops), Tables: sysctl.TablesShared}
	if l.PerLoopTables {
		need.Tables = sysctl.TablesPerLoop
	}
	return need
}

// tellShortfalls logs one line for each setting that falls short; what is only
// advice, and there on most hosts, at debug. It returns those that are required.
func tellShortfalls(log *slog.Logger, root sysctl.Root, need sysctl.Need) (required []string, err error) {
	falls, err := sysctl.Startup(root, need)
	if err != nil {
		return nil, err
	}
	for _, f := range falls {
		if f.Required {
			log.Warn("this host falls short: " + f.Line)
			required = append(required, f.Line)
		} else {
			log.Debug("this host could be better: " + f.Line)
		}
	}
	return required, nil
}
