package bridge

// Presence is what a consumer of the events topic knows of one principal. The
// zero value knows of no session. Whatever the order in which events come, and
// however often, it ends with the truth once all have come: an epoch that has
// ended stays ended, and later epochs stand for themselves.
type Presence struct {
	open  map[uint64]Event    // connected and not ended, by epoch
	ended map[uint64]struct{} // ended; kept while an older or equal beginning may still come
}

// Apply takes an event in.
func (p *Presence) Apply(e Event) {
	if p.open == nil {
		p.open, p.ended = map[uint64]Event{}, map[uint64]struct{}{}
	}
	switch {
	case e.Ends():
		delete(p.open, e.Epoch)
		p.ended[e.Epoch] = struct{}{}
	case e.Kind == Connected:
		if _, over := p.ended[e.Epoch]; !over {
			p.open[e.Epoch] = e
		}
	}
}

// Forget lets go of what is kept about epochs below epoch: the consumer is sure
// that no event of them is still to come, since they are older than the topic's
// retention, for instance.
func (p *Presence) Forget(epoch uint64) {
	for e := range p.ended {
		if e < epoch {
			delete(p.ended, e)
		}
	}
}

// Online reports whether the principal has a session, and the latest of them.
func (p *Presence) Online() (latest Event, ok bool) {
	for _, e := range p.open {
		if !ok || e.Epoch > latest.Epoch {
			latest, ok = e, true
		}
	}
	return latest, ok
}

// Sessions is the number of sessions.
func (p *Presence) Sessions() int { return len(p.open) }
