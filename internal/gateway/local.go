package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/reactor"
)

// tableFullRetry is the hint to a peer for whom the table has no place.
const tableFullRetry = 10 * time.Second

// The methods of bridge.Local hand a push to the loops and do not wait for
// them: while a loop writes a fan-out, the next ones gather in its mailbox and
// leave in the same writes. A session that ends in between is counted by the
// engine (reactor.Stats.Offline).

// User implements bridge.Local.
func (g *Gateway) User(principal string, p *bridge.Push) bridge.Outcome {
	var few [8]session.ID
	return g.toSessions(g.table.AppendSessions(few[:0], []byte(principal)), p)
}

// Session implements bridge.Local.
func (g *Gateway) Session(id session.ID, p *bridge.Push) bridge.Outcome {
	return g.toSessions([]session.ID{id}, p)
}

// Group implements bridge.Local.
func (g *Gateway) Group(group string, p *bridge.Push) bridge.Outcome {
	return g.toSessions(g.table.AppendGroup(nil, []byte(group)), p)
}

// All implements bridge.Local.
func (g *Gateway) All(p *bridge.Push) bridge.Outcome {
	r := g.toReactor(p)
	return confirmed(p, r.Receipt, outcome(g.engine.Broadcast(r), g.engine.Sessions()))
}

func (g *Gateway) toSessions(ids []session.ID, p *bridge.Push) bridge.Outcome {
	r := g.toReactor(p)
	switch len(ids) {
	case 0:
		return bridge.Outcome{Offline: 1}
	case 1:
		return confirmed(p, r.Receipt, outcome(g.engine.Send(ids[0], r), 1))
	default:
		return confirmed(p, r.Receipt, outcome(g.engine.Multicast(ids, r), len(ids)))
	}
}

func (g *Gateway) toReactor(p *bridge.Push) reactor.Push {
	r := reactor.Push{Opcode: p.Opcode, Priority: p.Priority, Payload: p.Payload}
	followed := g.tracer != nil && p.Trace.On()
	if p.Confirm || followed {
		r.Receipt = reactor.NewReceipt()
	}
	if followed {
		r.Receipt.Then(g.deliver(p))
	}
	return r
}

// confirmTimeout bounds the wait for loops that are behind; a loop's turn
// takes milliseconds.
const confirmTimeout = 2 * time.Second

// confirmed is what became of a push whose sender wants to know: it waits for
// the loops. Otherwise it is what was handed to them.
func confirmed(p *bridge.Push, receipt *reactor.Receipt, handed bridge.Outcome) bridge.Outcome {
	if !p.Confirm {
		return handed
	}
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
	defer cancel()
	out, err := receipt.Wait(ctx)
	if err != nil {
		return handed // it is in the mailboxes, and not known further
	}
	return bridge.Outcome{Delivered: out.Delivered, Offline: out.Offline, Full: out.Dropped}
}

func outcome(err error, n int) bridge.Outcome {
	switch {
	case err == nil:
		return bridge.Outcome{Delivered: n}
	case errors.Is(err, reactor.ErrFull):
		return bridge.Outcome{Full: n}
	default:
		return bridge.Outcome{Offline: n}
	}
}
