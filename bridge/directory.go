package bridge

import "context"

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
