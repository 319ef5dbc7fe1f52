package redisdir

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reader looks at the directory from outside, without being a node: it holds
// no lease and changes nothing. The tools use it. Safe for use by many
// goroutines.
type Reader struct {
	store *store
	watch *watcher
}

// readerTimeout is the deadline of a reader's calls: an operator waits longer
// than a gateway.
const readerTimeout = 5 * time.Second

// Open connects to the Redis at url, in the form of Config.URL. It fails with
// ErrNoDirectory where no node has ever joined.
func Open(ctx context.Context, url string) (*Reader, error) {
	s := &store{link: link{url: url, timeout: readerTimeout}}
	if err := s.connect(); err != nil {
		return nil, fmt.Errorf("connect to Redis: %w", err)
	}
	r := &Reader{store: s, watch: newWatcher(s)}
	err := s.readLayout(ctx)
	if err == nil {
		_, err = r.watch.refresh(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return r, nil
}

// Close ends the connections.
func (r *Reader) Close() { r.store.close() }

// Nodes returns every incarnation that is alive, or dead and not cleared up
// after yet; oldest first.
func (r *Reader) Nodes(ctx context.Context) ([]Node, error) { return r.store.nodes(ctx) }

// Lookup is Directory.Lookup.
func (r *Reader) Lookup(ctx context.Context, principals []string, found func(i int, l Location)) error {
	return lookup(ctx, r.store, r.watch, principals, 0, found)
}

// Walk calls visit for every session in the directory. Those of dead nodes,
// and of incarnations that nobody knows, come too: Location.Node says so, the
// latter with an empty ID.
func (r *Reader) Walk(ctx context.Context, visit func(principal string, l Location)) error {
	v, err := r.watch.refresh(ctx)
	if err != nil {
		return err
	}
	return r.store.scan(ctx, principals, ctx.Err, func(name, value string) error {
		var late error
		err := eachRecord(value, func(rec record) {
			if seen, err := r.watch.knows(ctx, rec.incarnation); err != nil {
				late = err
			} else {
				v = seen
			}
			n := v.byIncarnation[rec.incarnation]
			if n == nil {
				n = &Node{Incarnation: rec.incarnation}
			}
			visit(name, Location{n, rec.session(n)})
		})
		if err = errors.Join(err, late); err != nil {
			return fmt.Errorf("entry of %q: %w", name, err)
		}
		return nil
	})
}

// WalkGroups calls visit for every node's presence in every group, on the
// terms of Walk.
func (r *Reader) WalkGroups(ctx context.Context, visit func(group string, p Presence)) error {
	v, err := r.watch.refresh(ctx)
	if err != nil {
		return err
	}
	return r.store.scan(ctx, groups, ctx.Err, func(name, value string) error {
		if err := eachPresence(value, func(p presence) {
			n := v.byIncarnation[p.incarnation]
			if n == nil {
				n = &Node{Incarnation: p.incarnation}
			}
			visit(name, Presence{n, int(p.members)})
		}); err != nil {
			return fmt.Errorf("entry of group %q: %w", name, err)
		}
		return nil
	})
}
