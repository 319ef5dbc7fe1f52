package redisdir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/limpet-gateway/limpet/registry"
)

// NodeTable is the table of one node, as the checker sees it.
type NodeTable interface {
	Walk(ctx context.Context, visit func(principal string, s registry.Session)) error
	WalkGroups(ctx context.Context, visit func(group string, members int)) error
}

// Disagreement is one difference between the directory and a node's table
// that was there each time the checker looked.
type Disagreement struct {
	Kind  string // one of the Kind constants
	Node  string // id, or empty where nobody knows the incarnation
	Name  string // principal or group
	Group bool
	Says  string // what each side says
}

// What can be wrong.
const (
	KindMissing = "missing" // in the table of a live node, not in the directory
	KindStale   = "stale"   // in the directory for a live node, not in its table
	KindDead    = "dead"    // of a dead node, not cleared up yet
	KindUnknown = "unknown" // of an incarnation that nobody knows
	KindCount   = "count"   // a group with another number of members
)

func (d Disagreement) String() string {
	what := "principal"
	if d.Group {
		what = "group"
	}
	return fmt.Sprintf("%s: %s %q on node %q: %s", d.Kind, what, d.Name, d.Node, d.Says)
}

// Check compares the directory with the tables of the live nodes, by node id.
// Sessions come and go while it reads, so it looks up to rounds times, apart
// by the given pause, and returns what was wrong every time. A live node
// without a table in tables is an error: what it holds cannot be judged.
func Check(ctx context.Context, r *Reader, tables map[string]NodeTable, rounds int, apart time.Duration) ([]Disagreement, error) {
	var wrong map[Disagreement]bool
	for round := range max(rounds, 1) {
		if round > 0 {
			if err := pause(ctx, apart); err != nil {
				return nil, err
			}
		}
		now, err := checkOnce(ctx, r, tables)
		if err != nil {
			return nil, err
		}
		if wrong == nil {
			wrong = now
		} else {
			for d := range wrong {
				if !now[d] {
					delete(wrong, d)
				}
			}
		}
		if len(wrong) == 0 {
			return nil, nil
		}
	}
	list := make([]Disagreement, 0, len(wrong))
	for d := range wrong {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Disagreement) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Says, b.Says))
	})
	return list, nil
}

// held is what the tables of the live nodes hold.
type held struct {
	sessions map[heldSession]bool
	members  map[heldGroup]int
}

type heldSession struct {
	node      string
	principal string
	session   registry.Session
}

type heldGroup struct{ node, group string }

func checkOnce(ctx context.Context, r *Reader, tables map[string]NodeTable) (map[Disagreement]bool, error) {
	nodes, err := r.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	all := held{map[heldSession]bool{}, map[heldGroup]int{}}
	for _, n := range nodes {
		if !n.Alive {
			continue
		}
		if err := all.read(ctx, n.ID, tables[n.ID]); err != nil {
			return nil, err
		}
	}
	wrong := map[Disagreement]bool{}
	return wrong, errors.Join(checkSessions(ctx, r, all.sessions, wrong), checkGroups(ctx, r, all.members, wrong))
}

// read adds what a node's table holds.
func (h *held) read(ctx context.Context, node string, table NodeTable) error {
	if table == nil {
		return fmt.Errorf("node %s is alive, but its table cannot be read", node)
	}
	err := table.Walk(ctx, func(principal string, s registry.Session) { h.sessions[heldSession{node, principal, s}] = true })
	if err == nil {
		err = table.WalkGroups(ctx, func(group string, members int) { h.members[heldGroup{node, group}] = members })
	}
	if err != nil {
		return fmt.Errorf("table of node %s: %w", node, err)
	}
	return nil
}

// checkSessions adds to wrong in what the directory's sessions differ from those
// that are held. It takes those that agree out of held.
func checkSessions(ctx context.Context, r *Reader, held map[heldSession]bool, wrong map[Disagreement]bool) error {
	err := r.Walk(ctx, func(principal string, l Location) {
		says := fmt.Sprintf("directory has session %v, epoch %d", l.Session.ID, l.Session.Epoch)
		key := heldSession{l.Node.ID, principal, l.Session}
		switch {
		case l.Node.ID == "":
			wrong[Disagreement{Kind: KindUnknown, Name: principal, Says: says}] = true
		case !l.Node.Alive:
			wrong[Disagreement{Kind: KindDead, Node: l.Node.ID, Name: principal, Says: says}] = true
		case held[key]:
			delete(held, key)
		default:
			wrong[Disagreement{Kind: KindStale, Node: l.Node.ID, Name: principal, Says: says + ", the table does not"}] = true
		}
	})
	for s := range held {
		wrong[Disagreement{Kind: KindMissing, Node: s.node, Name: s.principal,
			Says: fmt.Sprintf("table has session %v, epoch %d, the directory does not", s.session.ID, s.session.Epoch)}] = true
	}
	return err
}

// checkGroups does the same for groups and the numbers of their members.
func checkGroups(ctx context.Context, r *Reader, held map[heldGroup]int, wrong map[Disagreement]bool) error {
	err := r.WalkGroups(ctx, func(group string, p Presence) {
		key := heldGroup{p.Node.ID, group}
		says := fmt.Sprintf("directory has %d members, the table %d", p.Members, held[key])
		switch {
		case p.Node.ID == "":
			wrong[Disagreement{Kind: KindUnknown, Name: group, Group: true, Says: says}] = true
		case !p.Node.Alive:
			wrong[Disagreement{Kind: KindDead, Node: p.Node.ID, Name: group, Group: true, Says: says}] = true
		case held[key] != p.Members:
			wrong[Disagreement{Kind: KindCount, Node: p.Node.ID, Name: group, Group: true, Says: says}] = true
		}
		delete(held, key)
	})
	for g, n := range held {
		wrong[Disagreement{Kind: KindMissing, Node: g.node, Name: g.group, Group: true,
			Says: fmt.Sprintf("table has %d members, the directory none", n)}] = true
	}
	return err
}
