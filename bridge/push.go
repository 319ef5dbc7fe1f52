package bridge

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Push is a message on its way to sessions.
type Push struct {
	To       Target
	ID       string // empty, or what duplicates are recognised by
	Opcode   session.Opcode
	Priority session.Priority
	Expires  time.Time // zero: never
	Payload  []byte    // shared by all that it is delivered to: never changed

	// Control makes it an order about the sessions it is for; Group is what
	// they join or leave, Until when they end; zero is never.
	Control Control
	Group   string
	Until   time.Time

	// Confirm asks Local to wait until the loops have dealt with it, so that
	// the outcome says what reached a socket.
	Confirm bool

	Trace tracing.Trace // where it is followed; zero where nobody does

	node   uint64 // incarnation of the node that it is for; 0 is whoever reads it
	origin string // see headerOrigin; empty for a push that no record brought
	hops   int
	spread bool // sent to all nodes: to find no session is nothing to report
}

// Control is what a push orders about sessions, instead of a message to them.
type Control uint8

// The orders.
const (
	NoControl Control = iota
	Join              // become members of Group; of a principal's sessions
	Leave             // leave Group
	Close             // end, as kicked
	Extend            // end at Until, as for want of a newer token; of a principal's sessions
)

var controlWords = [...]string{"", "join", "leave", "close", "extend"}

// String returns the word of the header.
func (c Control) String() string { return controlWords[c] }

// maxHops bounds how often a push follows a principal that moves.
const maxHops = 3

// MaxID is the largest length of a push's id, in bytes.
const MaxID = 128

// Expired reports whether p is too old to be delivered at now.
func (p *Push) Expired(now time.Time) bool { return !p.Expires.IsZero() && !now.Before(p.Expires) }

// ErrBadPush is wrapped by the errors about a record that is no push.
var ErrBadPush = errors.New("record is not a push")

// ParsePush reads a record of the downlink. The payload is shared with it.
func ParsePush(r *kgo.Record) (Push, error) {
	p := Push{Opcode: session.Text, Priority: session.High, Payload: r.Value}
	to := header(r.Headers, HeaderTo)
	if to == nil {
		return p, fmt.Errorf("%w: no header %s", ErrBadPush, HeaderTo)
	}
	var err error
	if p.To, err = ParseTarget(string(to)); err != nil {
		return p, fmt.Errorf("%w: %s: %w", ErrBadPush, HeaderTo, err)
	}
	if v := header(r.Headers, HeaderOpcode); v != nil {
		if p.Opcode, err = session.ParseOpcode(string(v)); err != nil {
			return p, fmt.Errorf("%w: %s: %w", ErrBadPush, HeaderOpcode, err)
		}
	}
	if v := header(r.Headers, HeaderPriority); v != nil {
		if p.Priority, err = session.ParsePriority(string(v)); err != nil {
			return p, fmt.Errorf("%w: %s: %w", ErrBadPush, HeaderPriority, err)
		}
	}
	if v := header(r.Headers, HeaderTTL); v != nil {
		ms, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil || ms <= 0 || ms > maxTTL.Milliseconds() {
			return p, fmt.Errorf("%w: %s: %.40q: want 1 to %d milliseconds", ErrBadPush, HeaderTTL, v, maxTTL.Milliseconds())
		}
		p.Expires = r.Timestamp.Add(time.Duration(ms) * time.Millisecond)
	}
	if v := header(r.Headers, HeaderID); v != nil {
		if len(v) > MaxID {
			return p, fmt.Errorf("%w: %s: longer than %d bytes", ErrBadPush, HeaderID, MaxID)
		}
		p.ID = string(v)
	}
	if err := p.parseControl(r.Headers); err != nil {
		return p, err
	}
	if p.Opcode == session.Text && p.Control == NoControl && !utf8.Valid(p.Payload) {
		// Every client would have to fail its connection (RFC 6455 section 8.1).
		return p, fmt.Errorf("%w: the value is not UTF-8: want %s: binary", ErrBadPush, HeaderOpcode)
	}
	return p, nil
}

func (p *Push) parseControl(headers []kgo.RecordHeader) error {
	word, group := header(headers, HeaderControl), header(headers, HeaderGroup)
	if word == nil {
		return nil
	}
	switch string(word) {
	case "join":
		p.Control = Join
	case "leave":
		p.Control = Leave
	case "close":
		p.Control = Close
	case "extend":
		p.Control = Extend
		until := header(headers, HeaderUntil)
		ms, err := strconv.ParseInt(string(until), 10, 64)
		if err != nil || ms < 0 || ms > maxUntil {
			return fmt.Errorf("%w: %s: %.40q: want 0 to %d milliseconds since 1970", ErrBadPush, HeaderUntil, until, int64(maxUntil))
		}
		if ms > 0 {
			p.Until = time.UnixMilli(ms)
		}
	default:
		return fmt.Errorf("%w: %s: %.40q: want join, leave, close or extend", ErrBadPush, HeaderControl, word)
	}
	p.Group = string(group)
	return p.checkControl()
}

// checkControl reports what is wrong with an order.
func (p *Push) checkControl() error {
	switch {
	case p.Control == NoControl:
		return nil
	case p.To.Kind > ToSession || p.To.Kind == ToSession && p.Control != Close:
		return fmt.Errorf("%w: %s is for user:NAME, close for session:ID too", ErrBadPush, HeaderControl)
	case (p.Control == Join || p.Control == Leave) && (p.Group == "" || len(p.Group) > session.MaxName):
		return fmt.Errorf("%w: %s: want 1 to %d bytes", ErrBadPush, HeaderGroup, session.MaxName)
	}
	return nil
}

// maxUntil is the end of the year 9999.
const maxUntil = 253402300799999

// maxTTL keeps a ttl far from the end of the clock's range.
const maxTTL = 366 * 24 * time.Hour

// Record returns p as a record of topic. Its timestamp is now, from which the
// time to live counts. Pushes to one target keep their order: it is the key.
func (p *Push) Record(topic string, now time.Time) *kgo.Record {
	to := p.To.String()
	r := &kgo.Record{
		Topic:     topic,
		Key:       []byte(to),
		Value:     p.Payload,
		Timestamp: now,
		Headers: []kgo.RecordHeader{
			{Key: HeaderTo, Value: []byte(to)},
			{Key: HeaderOpcode, Value: []byte(p.Opcode.String())},
			{Key: HeaderPriority, Value: []byte(p.Priority.String())},
		},
	}
	if p.To.Kind == ToUser {
		r.Key = []byte(p.To.Name)
	}
	if p.ID != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderID, Value: []byte(p.ID)})
	}
	if !p.Expires.IsZero() {
		ms := max(p.Expires.Sub(now).Milliseconds(), 1)
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderTTL, Value: strconv.AppendInt(nil, ms, 10)})
	}
	if p.Control != NoControl {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderControl, Value: []byte(p.Control.String())},
			kgo.RecordHeader{Key: HeaderGroup, Value: []byte(p.Group)})
		if p.Control == Extend {
			until := int64(0)
			if !p.Until.IsZero() {
				until = min(max(p.Until.UnixMilli(), 1), maxUntil)
			}
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderUntil, Value: strconv.AppendInt(nil, until, 10)})
		}
	}
	return r
}
