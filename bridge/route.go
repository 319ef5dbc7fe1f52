package bridge

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Route takes pushes where they belong, in their order, and returns what became
// of each when the bus has all that it was given. It fails when ctx ends
// or the bus is closed before; then some of the pushes may have gone and others not.
func (r *Router) Route(ctx context.Context, pushes []*Push) ([]Result, error) {
	for _, p := range pushes {
		if err := p.checkControl(); err != nil {
			return nil, err
		}
	}
	spans := r.follow(pushes)
	results := make([]Result, len(pushes))
	found := r.lookUp(ctx, pushes)
	under := make([]underway, len(pushes))
	patience := time.Now().Add(r.cfg.HandOff)
	for i, p := range pushes {
		r.route(ctx, p, &results[i], found[i], patience, &under[i])
	}
	for i, p := range pushes {
		if err := under[i].wait(ctx); err != nil {
			return results, fmt.Errorf("route: %w", err)
		}
		under[i].settle(&results[i])
		if results[i].Forwarded > 0 && !slices.ContainsFunc(found[i].places, func(at Place) bool { return at.Incarnation == r.cfg.Incarnation }) {
			results[i].Offline = 0 // they are elsewhere: nobody of this node has gone
		}
		if sent := under[i].sent; sent != nil && !results[i].Spread {
			// The bus did not take it in time: those who are here get it all the
			// same, and once, even if it comes by the bus late.
			r.local(ctx, sent, &results[i], patience)
		}
		r.conclude(p, &results[i])
		if spans != nil {
			settled(spans[i], &results[i])
		}
	}
	return results, nil
}

// tellDirectory logs that the directory cannot tell, and that it can again,
// once for each outage and not once for each batch of pushes.
func (r *Router) tellDirectory(err error) {
	switch away := err != nil; {
	case r.directoryAway.Swap(away) == away:
	case away:
		r.log.Warn("routing: the directory cannot say who is where; pushes go to all nodes", "error", err)
	default:
		r.log.Info("routing: the directory says who is where again")
	}
}

// whereabouts is what the directory said about one push.
type whereabouts struct {
	places []Place
	blind  bool // it did not say
}

// lookUp asks the directory about all pushes that it can say something about:
// one question for users, one for groups.
func (r *Router) lookUp(ctx context.Context, pushes []*Push) []whereabouts {
	found := make([]whereabouts, len(pushes))
	if r.cfg.Directory == nil || r.cfg.Bus == nil {
		return found
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	r.ask(ctx, pushes, found, ToUser, r.cfg.Directory.Users)
	r.ask(ctx, pushes, found, ToGroup, r.cfg.Directory.Groups)
	return found
}

func (r *Router) ask(ctx context.Context, pushes []*Push, found []whereabouts, kind TargetKind, lookUp func(context.Context, []string) ([][]Place, error)) {
	var names []string
	var at []int
	for i, p := range pushes {
		if p.To.Kind == kind {
			names, at = append(names, p.To.Name), append(at, i)
		}
	}
	if len(names) == 0 {
		return
	}
	places, err := lookUp(ctx, names)
	if err == nil && len(places) != len(names) {
		err = fmt.Errorf("the directory answered %d of %d questions", len(places), len(names))
	}
	for n, i := range at {
		if err != nil {
			found[i].blind = true
		} else {
			found[i].places = places[n]
		}
	}
	r.tellDirectory(err)
}

// route takes one push where it belongs. under is told of what the bus was
// given.
func (r *Router) route(ctx context.Context, p *Push, result *Result, where whereabouts, patience time.Time, under *underway) {
	bus := r.cfg.Bus
	switch {
	case p.Expired(time.Now()):
		result.Why = BecauseExpired
	case bus == nil:
		r.local(ctx, p, result, patience)
	case p.To.Kind == ToSession && p.To.Session.Incarnation != r.cfg.Incarnation:
		r.forward(ctx, p.To.Session.Incarnation, p, result, under)
	case p.To.Kind == ToSession:
		r.local(ctx, p, result, patience)
	case p.To.Kind == ToAll, len(where.places) > r.cfg.GroupFanOut, where.blind, r.cfg.Directory == nil:
		// To this node as well, by the same way: so each node has it once.
		if where.blind {
			r.blind.Add(1)
		}
		everywhere := *p
		everywhere.spread = true
		if everywhere.origin == "" {
			everywhere.origin = fmt.Sprintf("%016x/%d", r.cfg.Incarnation, r.origins.Add(1))
		}
		result.Spread = true
		under.sent = &everywhere
		r.spread.Add(1)
		bus.Broadcast(ctx, &everywhere, under.add())
	default:
		r.local(ctx, p, result, patience)
		next := *p
		next.spread = p.spread || p.To.Kind == ToGroup || len(where.places) > 1
		for _, place := range where.places {
			if place.Incarnation != r.cfg.Incarnation {
				r.forward(ctx, place.Incarnation, &next, result, under)
			}
		}
	}
}

func (r *Router) forward(ctx context.Context, to uint64, p *Push, result *Result, under *underway) {
	if p.hops >= maxHops {
		return
	}
	next := *p
	next.hops++
	result.Forwarded++
	r.forwarded.Add(1)
	r.cfg.Bus.Forward(ctx, to, &next, under.add())
}

// local delivers p on this node, unless it has been delivered before.
func (r *Router) local(ctx context.Context, p *Push, result *Result, patience time.Time) {
	var key dedupKey
	known := false
	if r.dedup != nil {
		if key, known = r.dedup.key(p); known && !r.dedup.enter(key, time.Now()) {
			result.Duplicate = true
			r.duplicates.Add(1)
			return
		}
	}
	out := r.handOff(ctx, p, patience)
	if known && out.Delivered == 0 {
		r.dedup.forget(key)
	}
	result.Outcome = result.Outcome.add(out)
	r.delivered.Add(uint64(out.Delivered))
}

// conclude decides whether p went nowhere, and says so.
func (r *Router) conclude(p *Push, result *Result) {
	if result.Delivered > 0 || result.Forwarded > 0 || result.Spread || result.Duplicate {
		result.Why = ""
		return
	}
	if result.Why == "" {
		switch {
		case result.Full > 0:
			result.Why = BecauseFull
		case p.To.Kind == ToAll || p.spread:
			return // nobody need be here
		default:
			result.Why = BecauseOffline
		}
	}
	if p.spread {
		return // each node would say it
	}
	switch result.Why {
	case BecauseExpired:
		r.expired.Add(1)
	case BecauseFull:
		r.full.Add(1)
	case BecauseOffline:
		r.offline.Add(1)
	case BecauseFailed:
		r.failed.Add(1)
	}
	r.cfg.OnUndelivered(p, result.Why)
}

// Arrived delivers pushes that other nodes, or this one, put on the bus, in
// their order. One for a principal that has moved on meanwhile follows it. It
// fails when ctx ends before all have been dealt with.
func (r *Router) Arrived(ctx context.Context, pushes []*Push) error {
	patience := time.Now().Add(r.cfg.HandOff)
	spans := r.follow(pushes)
	var moved []*Push
	for i, p := range pushes {
		r.arrived.Add(1)
		var result Result
		if p.Expired(time.Now()) {
			result.Why = BecauseExpired
		} else {
			r.local(ctx, p, &result, patience)
		}
		gone := p.To.Kind == ToUser && result == Result{Outcome: Outcome{Offline: 1}}
		if gone && !p.spread && p.hops < maxHops {
			r.moved.Add(1)
			moved = append(moved, p)
			result = Result{}
		} else {
			r.conclude(p, &result)
		}
		if spans != nil {
			settled(spans[i], &result)
		}
	}
	if len(moved) == 0 {
		return nil
	}
	_, err := r.Route(ctx, moved)
	return err
}
