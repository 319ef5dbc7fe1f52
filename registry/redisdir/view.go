package redisdir

import (
	"context"
	"sync/atomic"
	"time"
)

// view is what this node last saw of all nodes. It is replaced, never changed.
type view struct {
	at            time.Time
	byIncarnation map[uint32]*Node
	byProcess     map[uint64]*Node // live ones
	newest        uint32           // greatest incarnation seen
}

func newView(at time.Time, nodes []Node) *view {
	v := &view{at: at, byIncarnation: make(map[uint32]*Node, len(nodes)), byProcess: make(map[uint64]*Node, len(nodes))}
	for i := range nodes {
		v.byIncarnation[nodes[i].Incarnation] = &nodes[i]
		if nodes[i].Alive {
			v.byProcess[nodes[i].Process] = &nodes[i]
		}
		v.newest = max(v.newest, nodes[i].Incarnation)
	}
	return v
}

// live returns the node behind an incarnation, or nil when that is dead.
func (v *view) live(incarnation uint32) *Node {
	if n := v.byIncarnation[incarnation]; n != nil && n.Alive {
		return n
	}
	return nil
}

// watcher keeps the view fresh.
type watcher struct {
	store   *store
	current atomic.Pointer[view]
	newest  atomic.Uint32 // greatest incarnation ever seen, also on a Redis that was emptied since
	asking  chan struct{} // holds one token while nobody asks
}

func newWatcher(s *store) *watcher {
	w := &watcher{store: s, asking: make(chan struct{}, 1)}
	w.current.Store(newView(time.Time{}, nil))
	w.asking <- struct{}{}
	return w
}

// saw notes an incarnation that exists.
func (w *watcher) saw(incarnation uint32) {
	for {
		newest := w.newest.Load()
		if incarnation <= newest || w.newest.CompareAndSwap(newest, incarnation) {
			return
		}
	}
}

// refresh asks Redis, unless the view is younger than the call is.
func (w *watcher) refresh(ctx context.Context) (*view, error) {
	called := time.Now()
	select {
	case <-w.asking:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { w.asking <- struct{}{} }()
	if v := w.current.Load(); v.at.After(called) {
		return v, nil
	}
	asked := time.Now()
	nodes, err := w.store.nodes(ctx)
	if err != nil {
		return nil, err
	}
	v := newView(asked, nodes)
	w.current.Store(v)
	w.saw(v.newest)
	return v, nil
}

// askAgain is how old a view must be before an incarnation that it does not
// know is asked for: records of one that has ended must not make every lookup
// cost a second round trip.
const askAgain = 10 * time.Millisecond

// knows returns a view that knows an incarnation, if Redis does. Numbers are
// not entered in their order, so only looking tells.
func (w *watcher) knows(ctx context.Context, incarnation uint32) (*view, error) {
	v := w.current.Load()
	if v.byIncarnation[incarnation] != nil || time.Since(v.at) < askAgain {
		return v, nil
	}
	return w.refresh(ctx)
}
