package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/registry/redisdir"
)

// Cluster asks a directory. Its methods may be called from any goroutine but
// an event loop.
type Cluster struct {
	directory *redisdir.Directory
	table     *registry.Table
	node      string
}

// New returns what asks directory; table and node are this node's own.
func New(directory *redisdir.Directory, table *registry.Table, node string) *Cluster {
	return &Cluster{directory, table, node}
}

// Users implements bridge.Directory.
func (c *Cluster) Users(ctx context.Context, principals []string) ([][]bridge.Place, error) {
	places := make([][]bridge.Place, len(principals))
	err := c.directory.Lookup(ctx, principals, func(i int, l redisdir.Location) {
		for _, p := range places[i] {
			if p.Incarnation == l.Node.Process {
				return
			}
		}
		places[i] = append(places[i], bridge.Place{Node: l.Node.ID, Incarnation: l.Node.Process})
	})
	return places, c.whole(err)
}

// errFilling has pushes go to all nodes.
var errFilling = errors.New("the directory is being filled again, after an outage or a loss of Redis")

// whole is the outcome of a lookup for who takes what is not there for offline.
func (c *Cluster) whole(err error) error {
	if err == nil && c.directory.Filling() {
		return errFilling
	}
	return err
}

// Groups implements bridge.Directory.
func (c *Cluster) Groups(ctx context.Context, groups []string) ([][]bridge.Place, error) {
	places := make([][]bridge.Place, len(groups))
	err := c.directory.LookupGroups(ctx, groups, func(i int, p redisdir.Presence) {
		places[i] = append(places[i], bridge.Place{Node: p.Node.ID, Incarnation: p.Node.Process})
	})
	return places, c.whole(err)
}

// Sessions implements gateway.Cluster.
func (c *Cluster) Sessions(ctx context.Context, principal string) ([]api.Session, error) {
	var sessions []api.Session
	add := func(node string, s registry.Session) {
		sessions = append(sessions, api.Session{
			ID: s.ID.String(), Principal: principal, Node: node, Epoch: uint64(s.Epoch), Since: s.Epoch.Time(),
		})
	}
	err := c.directory.Lookup(ctx, []string{principal}, func(_ int, l redisdir.Location) { add(l.Node.ID, l.Session) })
	if errors.Is(err, redisdir.ErrDegraded) {
		for _, s := range c.table.AppendEntries(nil, []byte(principal)) {
			add(c.node, s)
		}
		return sessions, nil
	}
	return sessions, err
}

// Group implements gateway.Cluster.
func (c *Cluster) Group(ctx context.Context, name string) ([]api.GroupOnNode, error) {
	var nodes []api.GroupOnNode
	err := c.directory.LookupGroups(ctx, []string{name}, func(_ int, p redisdir.Presence) {
		nodes = append(nodes, api.GroupOnNode{Node: p.Node.ID, Members: p.Members})
	})
	if errors.Is(err, redisdir.ErrDegraded) {
		if members := c.table.GroupSize([]byte(name)); members > 0 {
			nodes = append(nodes, api.GroupOnNode{Node: c.node, Members: members})
		}
		return nodes, nil
	}
	return nodes, err
}

// Nodes implements gateway.Cluster.
func (c *Cluster) Nodes(ctx context.Context) ([]api.Node, error) {
	known, err := c.directory.Nodes(ctx)
	if errors.Is(err, redisdir.ErrDegraded) {
		return []api.Node{{
			Node: c.node, Incarnation: fmt.Sprintf("%016x", c.table.Incarnation()), Sessions: c.table.Stats().Sessions, Alive: true,
		}}, nil
	}
	nodes := make([]api.Node, 0, len(known))
	for _, n := range known {
		nodes = append(nodes, api.Node{
			Node: n.ID, Incarnation: fmt.Sprintf("%016x", n.Process), Sessions: n.Sessions, API: n.API, Alive: n.Alive,
		})
	}
	return nodes, err
}

// LostEvents writes an event for each session of a dead node.
type LostEvents func(bridge.Event) bridge.Verdict

// errNoRoom asks the directory to report the same sessions again, later.
var errNoRoom = errors.New("no room for the events of lost sessions")

// Lost implements registry.LostSink.
func (emit LostEvents) Lost(_ context.Context, lost []registry.LostSession) error {
	for _, l := range lost {
		if emit(bridge.Event{
			Kind: bridge.Lost, Principal: l.Principal, Session: l.Session.ID, Epoch: uint64(l.Session.Epoch), At: time.Now(),
		}) != bridge.Accepted {
			return errNoRoom
		}
	}
	return nil
}

var (
	_ bridge.Directory  = (*Cluster)(nil)
	_ registry.LostSink = LostEvents(nil)
)
