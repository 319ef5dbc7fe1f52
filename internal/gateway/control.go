package gateway

import (
	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
)

// Control implements bridge.Controller.
func (g *Gateway) Control(p *bridge.Push) bridge.Outcome {
	principal := []byte(p.To.Name)
	done := 0
	switch p.Control {
	case bridge.Join:
		n, err := g.table.JoinPrincipal(principal, []byte(p.Group))
		if err != nil {
			g.log.Warn("a principal cannot join a group", "principal", p.To.Name, "group", p.Group, "err", err)
			return bridge.Outcome{Delivered: n, Full: 1}
		}
		done = n
	case bridge.Leave:
		done = g.table.LeavePrincipal(principal, []byte(p.Group))
	case bridge.Close:
		return g.closeSessions(p.To)
	case bridge.Extend:
		return each(g.table.AppendSessions(nil, principal), func(id session.ID) error { return g.engine.Extend(id, p.Until) })
	}
	if done == 0 {
		return bridge.Outcome{Offline: 1}
	}
	return bridge.Outcome{Delivered: done}
}

// closeSessions ends sessions as kicked.
func (g *Gateway) closeSessions(to bridge.Target) bridge.Outcome {
	ids := []session.ID{to.Session}
	if to.Kind == bridge.ToUser {
		ids = g.table.AppendSessions(nil, []byte(to.Name))
	}
	return each(ids, func(id session.ID) error { return g.engine.CloseSession(id, session.Kicked) })
}

// each adds up what becomes of an order for some sessions.
func each(ids []session.ID, do func(session.ID) error) bridge.Outcome {
	var sum bridge.Outcome
	for _, id := range ids {
		out := outcome(do(id), 1)
		sum = bridge.Outcome{Delivered: sum.Delivered + out.Delivered, Offline: sum.Offline + out.Offline, Full: sum.Full + out.Full}
	}
	if len(ids) == 0 {
		sum.Offline = 1
	}
	return sum
}
