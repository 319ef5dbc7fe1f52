package bridge

import (
	"context"
	"errors"
)

// Place is a node that holds sessions.
type Place struct {
	Node        string
	Incarnation uint64
}

// Directory is what routing needs to know about other nodes. An error means
// that nothing is known at the moment; pushes then go to all nodes.
type Directory interface {
	// Users returns for each principal the nodes that hold its sessions: none
	// when it is not connected. It asks for all of them in one round trip.
	Users(ctx context.Context, principals []string) ([][]Place, error)
	// Groups returns for each group the nodes that hold members.
	Groups(ctx context.Context, groups []string) ([][]Place, error)
}

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
