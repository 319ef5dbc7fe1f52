package bridge

import (
	"errors"
	"fmt"
	"strings"

	"github.com/limpet-gateway/limpet/internal/session"
)

// TargetKind is what a push is addressed to.
type TargetKind uint8

// The kinds of target.
const (
	ToUser    TargetKind = iota + 1 // every session of one principal
	ToSession                       // one session
	ToGroup                         // every session of a group
	ToAll                           // every session
)

// String returns the word that a target of the kind begins with.
func (k TargetKind) String() string {
	switch k {
	case ToUser:
		return "user"
	case ToSession:
		return "session"
	case ToGroup:
		return "group"
	case ToAll:
		return "all"
	default:
		return fmt.Sprintf("target(%d)", uint8(k))
	}
}

// Target says for whom a push is. As text it is user:NAME, session:ID,
// group:NAME or all.
type Target struct {
	Kind    TargetKind
	Name    string     // of ToUser and ToGroup
	Session session.ID // of ToSession
}

// ErrBadTarget is wrapped by ParseTarget's errors.
var ErrBadTarget = errors.New("want user:NAME, session:ID, group:NAME or all")

// ParseTarget reads a target's text.
func ParseTarget(text string) (Target, error) {
	if text == "all" {
		return Target{Kind: ToAll}, nil
	}
	kind, name, ok := strings.Cut(text, ":")
	if !ok || name == "" {
		return Target{}, fmt.Errorf("target %.80q: %w", text, ErrBadTarget)
	}
	switch kind {
	case "user":
		if len(name) > session.MaxName {
			return Target{}, fmt.Errorf("target %.80q: a principal has at most %d bytes: %w", text, session.MaxName, ErrBadTarget)
		}
		return Target{Kind: ToUser, Name: name}, nil
	case "group":
		if len(name) > session.MaxName {
			return Target{}, fmt.Errorf("target %.80q: a group's name has at most %d bytes: %w", text, session.MaxName, ErrBadTarget)
		}
		return Target{Kind: ToGroup, Name: name}, nil
	case "session":
		id, err := session.ParseID(name)
		if err != nil {
			return Target{}, fmt.Errorf("target %.80q: %w: %w", text, err, ErrBadTarget)
		}
		return Target{Kind: ToSession, Session: id}, nil
	}
	return Target{}, fmt.Errorf("target %.80q: %w", text, ErrBadTarget)
}

// String returns the text that ParseTarget reads.
func (t Target) String() string {
	switch t.Kind {
	case ToUser, ToGroup:
		return t.Kind.String() + ":" + t.Name
	case ToSession:
		return t.Kind.String() + ":" + t.Session.String()
	default:
		return t.Kind.String()
	}
}
