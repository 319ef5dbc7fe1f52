package bridge

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
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
}

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
	return p, nil
}

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
	return r
}
