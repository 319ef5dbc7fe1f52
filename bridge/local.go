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

// Outcome counts the sessions that a push was for.
type Outcome struct {
	Delivered int // handed to the loop that owns the session
	Offline   int // gone, or never here: no session counts as one
	Full      int // the loop had no room
}

func (o Outcome) add(p Outcome) Outcome {
	return Outcome{o.Delivered + p.Delivered, o.Offline + p.Offline, o.Full + p.Full}
}

// deliver hands p to the sessions of this node.
func deliver(local Local, p *Push) Outcome {
	switch p.To.Kind {
	case ToUser:
		return local.User(p.To.Name, p)
	case ToSession:
		return local.Session(p.To.Session, p)
	case ToGroup:
		return local.Group(p.To.Name, p)
	case ToAll:
		return local.All(p)
	default:
		return Outcome{}
	}
}
