package gateway

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/auth"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/limpet-gateway/limpet/registry"
)

// Cluster is what the API can say about other nodes.
type Cluster interface {
	// Sessions returns the sessions of a principal on all live nodes.
	Sessions(ctx context.Context, principal string) ([]api.Session, error)
	// Group returns the members of a group on each live node.
	Group(ctx context.Context, name string) ([]api.GroupOnNode, error)
	Nodes(ctx context.Context) ([]api.Node, error)
}

// NodeConfig is what a Node needs.
type NodeConfig struct {
	Gateway     *Gateway
	Router      *bridge.Router
	Uplink      *bridge.Uplink // nil without Kafka
	Cluster     Cluster        // nil: this node is alone
	Node        string
	Incarnation uint64
	// Auth checks the tokens with which sessions are prolonged; nil where
	// nobody has to authenticate.
	Auth interface {
		Check(ctx context.Context, r *auth.Request) *auth.Decision
	}
	// Reconfigure is Reload of api.V1.
	Reconfigure func(context.Context) (api.Reloaded, error)
}

// Node answers the HTTP API: it implements api.V1. Its methods may be called
// from any goroutine but an event loop.
type Node struct{ NodeConfig }

// NewNode returns what answers for c.
func NewNode(c NodeConfig) *Node { return &Node{c} }

// Reload implements api.V1.
func (n *Node) Reload(ctx context.Context) (api.Reloaded, error) { return n.Reconfigure(ctx) }

// Refresh implements api.V1. The sessions of the token's principal, on all
// nodes, end when it does; groups, priority and rates stay what they were.
func (n *Node) Refresh(ctx context.Context, token string) (api.Refreshed, error) {
	if n.Auth == nil {
		return api.Refreshed{}, fmt.Errorf("%w: nobody has to authenticate here, so no session ends with a token", api.ErrConflict)
	}
	d := n.Auth.Check(ctx, &auth.Request{Token: token, Facts: auth.Facts{Node: n.Node}})
	switch {
	case d.Denial != nil:
		return api.Refreshed{}, &api.Denied{Available: d.Denial.Status != http.StatusServiceUnavailable, Reason: d.Denial.Reason}
	case d.Identity.Principal == "": // let in although nobody could be asked
		return api.Refreshed{}, &api.Denied{Reason: "authentication is not available at the moment"}
	}
	to := bridge.Target{Kind: bridge.ToUser, Name: d.Identity.Principal}
	results, err := n.route(ctx, []*bridge.Push{{To: to, Opcode: session.Text, Control: bridge.Extend, Until: d.Identity.Expires}})
	if err != nil {
		return api.Refreshed{}, err
	}
	refreshed := api.Refreshed{Principal: to.Name, Pushed: describe(to.String(), results[0])}
	if !d.Identity.Expires.IsZero() {
		refreshed.Expires = &d.Identity.Expires
	}
	return refreshed, nil
}

// Push implements api.V1.
func (n *Node) Push(ctx context.Context, pushes []api.Push) ([]api.Pushed, error) {
	routed := make([]*bridge.Push, len(pushes))
	for i, p := range pushes {
		r, err := toBridge(p)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", api.ErrBadRequest, err)
		}
		r.Trace = tracing.FromContext(ctx)
		routed[i] = r
	}
	results, err := n.route(ctx, routed)
	if err != nil {
		return nil, err
	}
	pushed := make([]api.Pushed, len(pushes))
	for i, r := range results {
		pushed[i] = describe(pushes[i].To, r)
	}
	return pushed, nil
}

// routeTimeout is what other nodes have to be given a push in. Kafka may be
// away for longer than anybody wants to wait, and requests are few.
const routeTimeout = 10 * time.Second

// errNotTaken is what the API answers then. Whoever asks again should give the
// push an id.
var errNotTaken = fmt.Errorf("what is between the nodes has not taken it within %v: it may still arrive", routeTimeout)

func (n *Node) route(ctx context.Context, pushes []*bridge.Push) ([]bridge.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, routeTimeout)
	defer cancel()
	results, err := n.Router.Route(ctx, pushes)
	if err != nil && ctx.Err() != nil {
		err = errNotTaken
	}
	return results, err
}

func toBridge(p api.Push) (*bridge.Push, error) {
	r := &bridge.Push{ID: p.ID, Payload: p.Data, Confirm: true}
	var err error
	if r.To, err = bridge.ParseTarget(p.To); err != nil {
		return nil, err
	}
	if r.Opcode, err = session.ParseOpcode(p.Opcode); err != nil {
		return nil, err
	}
	if r.Priority, err = session.ParsePriority(p.Priority); err != nil {
		return nil, err
	}
	if p.TTL > 0 {
		r.Expires = time.Now().Add(p.TTL)
	}
	return r, nil
}

// describe puts into one word what became of a push.
func describe(to string, r bridge.Result) api.Pushed {
	pushed := api.Pushed{To: to, Delivered: r.Delivered, Forwarded: r.Forwarded, Offline: r.Offline, Full: r.Full}
	switch {
	case r.Delivered > 0:
		pushed.Result = "delivered"
	case r.Forwarded > 0:
		pushed.Result = "forwarded"
	case r.Spread:
		pushed.Result = "spread"
	case r.Duplicate:
		pushed.Result = "duplicate"
	case r.Why != "":
		pushed.Result = string(r.Why)
	default: // for all, and nobody is there
		pushed.Result = string(bridge.BecauseOffline)
	}
	return pushed
}

// Order implements api.V1.
func (n *Node) Order(ctx context.Context, o api.Order) (api.Pushed, error) {
	to, err := bridge.ParseTarget(o.To)
	if err != nil {
		return api.Pushed{}, fmt.Errorf("%w: %w", api.ErrBadRequest, err)
	}
	orders := map[string]bridge.Control{"join": bridge.Join, "leave": bridge.Leave, "close": bridge.Close}
	p := &bridge.Push{To: to, Opcode: session.Text, Control: orders[o.Do], Group: o.Group}
	results, err := n.route(ctx, []*bridge.Push{p})
	if err != nil {
		return api.Pushed{}, err
	}
	return describe(o.To, results[0]), nil
}

// Sessions implements api.V1.
func (n *Node) Sessions(ctx context.Context, principal string) ([]api.Session, error) {
	if n.Cluster != nil {
		return n.Cluster.Sessions(ctx, principal)
	}
	var sessions []api.Session
	for _, s := range n.Gateway.table.AppendEntries(nil, []byte(principal)) {
		sessions = append(sessions, n.describeSession(principal, s))
	}
	return sessions, nil
}

func (n *Node) describeSession(principal string, s registry.Session) api.Session {
	return api.Session{ID: s.ID.String(), Principal: principal, Node: n.Node, Epoch: uint64(s.Epoch), Since: s.Epoch.Time()}
}

// Session implements api.V1. Nothing is kept that finds a session by its id, so
// it looks through the table: milliseconds at a million sessions.
func (n *Node) Session(_ context.Context, text string) (*api.Session, error) {
	id, err := session.ParseID(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrBadRequest, err)
	}
	if id.Incarnation != n.Incarnation {
		return nil, nil
	}
	var found *api.Session
	n.Gateway.table.Walk(func(e registry.Entry) bool {
		if e.Session.ID == id {
			s := n.describeSession(string(e.Principal), e.Session)
			found = &s
		}
		return found == nil
	})
	return found, nil
}

// Group implements api.V1.
func (n *Node) Group(ctx context.Context, name string) (api.Group, error) {
	group := api.Group{Name: name, Nodes: []api.GroupOnNode{}}
	if n.Cluster != nil {
		nodes, err := n.Cluster.Group(ctx, name)
		if err != nil {
			return group, err
		}
		group.Nodes = append(group.Nodes, nodes...)
	} else if members := n.Gateway.table.GroupSize([]byte(name)); members > 0 {
		group.Nodes = append(group.Nodes, api.GroupOnNode{Node: n.Node, Members: members})
	}
	for _, on := range group.Nodes {
		group.Members += on.Members
	}
	return group, nil
}

// Nodes implements api.V1.
func (n *Node) Nodes(ctx context.Context) ([]api.Node, error) {
	if n.Cluster != nil {
		return n.Cluster.Nodes(ctx)
	}
	return []api.Node{{
		Node: n.Node, Incarnation: fmt.Sprintf("%016x", n.Incarnation), Sessions: n.Gateway.engine.Sessions(), Alive: true,
	}}, nil
}

// stats is the answer of GET /v1/stats, which openapi.json describes. The parts
// name their own counters.
type stats struct {
	Reactor  map[string]any      `json:"reactor"`
	Registry registry.Stats      `json:"registry"`
	Router   bridge.RouterStats  `json:"router"`
	Uplink   *bridge.UplinkStats `json:"uplink,omitempty"`
	Limited  uint64              `json:"rate_limited"`
}

// Stats implements api.V1.
func (n *Node) Stats() any {
	engine := n.Gateway.engine.Stats()
	closed := map[string]uint64{}
	for reason, count := range engine.Closed {
		closed[reason.String()] = count
	}
	s := stats{
		Reactor: map[string]any{
			"loops": engine.Loops, "conns": engine.Conns, "sessions": engine.Sessions,
			"messages_in": engine.MessagesIn, "messages_out": engine.MessagesOut, "bytes_in": engine.BytesIn, "bytes_out": engine.BytesOut,
			"writes": engine.Writes, "closed": closed,
		},
		Registry: n.Gateway.table.Stats(),
		Router:   n.Router.Stats(),
		Limited:  n.Gateway.limits.Refused(),
	}
	if n.Uplink != nil {
		u := n.Uplink.Stats()
		s.Uplink = &u
	}
	return s
}
