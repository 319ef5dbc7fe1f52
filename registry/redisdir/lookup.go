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

// ErrDegraded says that Redis is away: what this node's own table knows is all
// there is.
var ErrDegraded = errors.New("directory is away, own table only")

// Location is one session and the live node that holds it.
type Location struct {
	Node    *Node // read only
	Session registry.Session
}

// lookupBatch is how many names are asked for in one pipeline.
const lookupBatch = 512

// Lookup finds the sessions of principals on all live nodes, this one
// included, in one round trip per 512 names. found is called for each session
// with the index of its principal; sessions of dead nodes are left out. It
// fails with ErrDegraded at once while Redis is away, when Redis turns out to
// have lost the directory, and in any case within the call timeout per round
// trip. What it does not find may exist all the same while Filling says so. Any
// goroutine, not event loops.
func (d *Directory) Lookup(ctx context.Context, principals []string, found func(i int, l Location)) error {
	if !d.State().Connected() {
		return ErrDegraded
	}
	return d.asNode(func(self uint32) error { return lookup(ctx, d.store, d.watch, principals, self, found) })
}

// Presence is how many members of a group a live node holds.
type Presence struct {
	Node    *Node // read only
	Members int
}

// LookupGroups finds which live nodes hold members of groups, on the terms of
// Lookup. The counts follow the nodes' tables within the time a write takes.
func (d *Directory) LookupGroups(ctx context.Context, names []string, found func(i int, p Presence)) error {
	if !d.State().Connected() {
		return ErrDegraded
	}
	return d.asNode(func(self uint32) error { return lookupGroups(ctx, d.store, d.watch, names, self, found) })
}

// asNode has a lookup notice that Redis has forgotten this node.
func (d *Directory) asNode(lookUp func(self uint32) error) error {
	mine := *d.mine.Load()
	if len(mine) == 0 {
		return ErrDegraded
	}
	err := lookUp(mine[0])
	if errors.Is(err, errForgotten) && mine[0] == (*d.mine.Load())[0] {
		d.forgotten()
	}
	return err
}

func lookup(ctx context.Context, s *store, w *watcher, names []string, self uint32, found func(int, Location)) error {
	return inBatches(names, func(first int, names []string) error {
		return s.fetch(ctx, principals, names, self, func(i int, value string) error {
			var late error
			err := eachRecord(value, func(r record) {
				v, err := w.knows(ctx, r.incarnation)
				if err != nil {
					late = err
				} else if n := v.live(r.incarnation); n != nil {
					found(first+i, Location{n, r.session(n)})
				}
			})
			return errors.Join(err, late)
		})
	})
}

func lookupGroups(ctx context.Context, s *store, w *watcher, names []string, self uint32, found func(int, Presence)) error {
	return inBatches(names, func(first int, names []string) error {
		return s.fetch(ctx, groups, names, self, func(i int, value string) error {
			var late error
			err := eachPresence(value, func(p presence) {
				v, err := w.knows(ctx, p.incarnation)
				if err != nil {
					late = err
				} else if n := v.live(p.incarnation); n != nil {
					found(first+i, Presence{n, int(p.members)})
				}
			})
			return errors.Join(err, late)
		})
	})
}

func inBatches(names []string, each func(first int, names []string) error) error {
	for first := 0; first < len(names); first += lookupBatch {
		if err := each(first, names[first:min(first+lookupBatch, len(names))]); err != nil {
			return fmt.Errorf("look up %d names: %w", len(names), err)
		}
	}
	return nil
}

// Nodes returns every incarnation that is alive, or dead and not cleared up
// after yet, on the terms of Lookup.
func (d *Directory) Nodes(ctx context.Context) ([]Node, error) {
	if !d.State().Connected() {
		return nil, ErrDegraded
	}
	return d.store.nodes(ctx)
}

// Seen returns the nodes as this one saw them last, and when that was; the
// zero time means never. It asks nobody, and what it returns is read only. Any
// goroutine.
func (d *Directory) Seen() (nodes []*Node, at time.Time) {
	v := d.watch.current.Load()
	for _, n := range v.byIncarnation {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b *Node) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return nodes, v.at
}
