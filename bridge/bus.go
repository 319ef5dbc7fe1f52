package bridge

import (
	"context"
	"errors"
)

// Bus carries pushes between nodes. done is called once for each call, from
// any goroutine: with nil when the transport has the push, with ErrNodeGone,
// ErrBusClosed or another error when it will never have it. A call may wait for
// room until ctx ends; a push that is not sent by then fails with ErrBusClosed,
// if it still can be taken back. What arrives is given to Router.Arrived.
type Bus interface {
	Forward(ctx context.Context, to uint64, p *Push, done func(error)) // to: a node's incarnation
	Broadcast(ctx context.Context, p *Push, done func(error))          // to every node, this one included
}

// What a bus reports.
var (
	ErrNodeGone  = errors.New("the node is gone")
	ErrBusClosed = errors.New("the bus is closed")
)

// BusStats is a snapshot of a bus's counters.
type BusStats struct {
	Malformed uint64 // records or messages that no node wrote
	Unleased  uint64 // pushes for one node that went to all, because its inbox was not known or it has none
	Ignored   uint64 // records of an inbox that were for another node, and its business
	Followed  uint64 // records of an inbox that were for a dead node, and taken over
	Refused   uint64 // pushes for which the bus had no room, on their way out or in
	Failed    uint64 // pushes that the transport did not take in time
}

// fnv32 is the FNV-1a hash, by which a bus keeps the pushes for one target in
// their order.
func fnv32(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
