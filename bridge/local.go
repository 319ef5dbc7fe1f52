package bridge

import "github.com/limpet-gateway/limpet/internal/session"

// Local is what the downlink needs of its node: hand a push to live sessions.
// Calls come from the downlink's goroutines and must not wait for a session.
// The push is only read, and its payload may be kept.
type Local interface {
	User(principal string, p *Push) Outcome
	Session(id session.ID, p *Push) Outcome
	Group(group string, p *Push) Outcome
	All(p *Push) Outcome
}

// Controller carries out orders. Like Local's, its calls must not wait.
type Controller interface {
	// Control does p.Control for the sessions of p.To, a principal or one
	// session. Delivered counts the sessions it was done for.
	Control(p *Push) Outcome
}

// Outcome counts the sessions that a push was for.
type Outcome struct {
	Delivered int // handed to the loop that owns the session
	Offline   int // gone, or never here: no session counts as one
	Full      int // the loop had no room, or the session does not read
}

func (o Outcome) add(p Outcome) Outcome {
	return Outcome{o.Delivered + p.Delivered, o.Offline + p.Offline, o.Full + p.Full}
}

// deliver hands p to the sessions of this node.
func (r *Router) deliver(p *Push) Outcome {
	local := r.cfg.Local
	switch {
	case p.Control != NoControl && r.cfg.Controller == nil:
		return Outcome{Offline: 1}
	case p.Control != NoControl:
		return r.cfg.Controller.Control(p)
	case p.To.Kind == ToUser:
		return local.User(p.To.Name, p)
	case p.To.Kind == ToSession:
		return local.Session(p.To.Session, p)
	case p.To.Kind == ToGroup:
		return local.Group(p.To.Name, p)
	case p.To.Kind == ToAll:
		return local.All(p)
	default:
		return Outcome{}
	}
}
