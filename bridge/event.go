package bridge

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/limpet-gateway/limpet/internal/session"
)

// EventKind is what happened. The words are those of the JSON.
type EventKind string

// The kinds. A session has one Connected and at most one of the three that end
// it; a node that dies says nothing, and another one says Lost for it, perhaps
// more than once.
const (
	Connected     EventKind = "connected"
	Disconnected  EventKind = "disconnected" // with the reason
	Displaced     EventKind = "displaced"    // a newer session of the principal took over
	Lost          EventKind = "lost"         // its node died
	Undeliverable EventKind = "undelivered"  // a push reached no session
)

// Event is a record of the events topic, keyed by principal. Its JSON is
// described by events.schema.json.
//
// Records of one principal may come from several nodes, and so in any order: a
// consumer orders them by Epoch, and within an epoch takes an end for later
// than a beginning. Presence does so.
type Event struct {
	Kind      EventKind
	Principal string
	Session   session.ID
	Node      string // that held the session; of an undelivered push, that gave up
	Epoch     uint64 // grows with every session of a principal, on all nodes; below 2^53
	At        time.Time
	Reason    string // of disconnected and undelivered
	PushID    string // of undelivered: the push's limpet-id
	To        string // of undelivered: its limpet-to
	Remote    string // of connected: the client's IP address, if it is known
}

// Ends reports whether e ends a session.
func (e *Event) Ends() bool {
	return e.Kind == Disconnected || e.Kind == Displaced || e.Kind == Lost
}

// appendJSON appends e as one JSON object.
func (e *Event) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, e.Kind...)
	dst = append(dst, `","principal":`...)
	dst = appendString(dst, e.Principal)
	if !e.Session.IsZero() {
		dst = append(dst, `,"session":"`...)
		dst, _ = e.Session.AppendText(dst)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"node":`...)
	dst = appendString(dst, e.Node)
	if e.Epoch != 0 {
		dst = append(dst, `,"epoch":`...)
		dst = strconv.AppendUint(dst, e.Epoch, 10)
	}
	dst = append(dst, `,"at":"`...)
	dst = e.At.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	for _, f := range [...]struct{ name, value string }{{"reason", e.Reason}, {"id", e.PushID}, {"to", e.To}, {"remote", e.Remote}} {
		if f.value != "" {
			dst = append(append(append(dst, `,"`...), f.name...), `":`...)
			dst = appendString(dst, f.value)
		}
	}
	return append(dst, '}')
}

// appendString appends s as a JSON string. What is not UTF-8 is replaced, as
// encoding/json does.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// MarshalJSON implements json.Marshaler.
func (e *Event) MarshalJSON() ([]byte, error) { return e.appendJSON(nil), nil }

// UnmarshalJSON implements json.Unmarshaler. Fields that it does not know are
// left out: later versions may add some.
func (e *Event) UnmarshalJSON(data []byte) error {
	var j struct {
		Type      EventKind   `json:"type"`
		Principal string      `json:"principal"`
		Session   *session.ID `json:"session"`
		Node      string      `json:"node"`
		Epoch     uint64      `json:"epoch"`
		At        time.Time   `json:"at"`
		Reason    string      `json:"reason"`
		ID        string      `json:"id"`
		To        string      `json:"to"`
		Remote    string      `json:"remote"`
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	*e = Event{Kind: j.Type, Principal: j.Principal, Node: j.Node, Epoch: j.Epoch, At: j.At, Reason: j.Reason, PushID: j.ID, To: j.To, Remote: j.Remote}
	if j.Session != nil {
		e.Session = *j.Session
	}
	return nil
}
