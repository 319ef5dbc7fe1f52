package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/limpet-gateway/limpet/internal/session"
)

// jsonWindow is how much of a payload is searched for a JSON field: rules run
// on the loops for every message.
const jsonWindow = 1 << 10

// PriorityRules give a message a priority of its own, other than its
// session's. The zero value has none. They are immutable.
type PriorityRules struct {
	prefixes []prefixRule
	field    string // of a top-level JSON object; empty means none
}

type prefixRule struct {
	prefix   []byte
	priority session.Priority
}

// ParsePriorityRules reads rules of these forms:
//
//	prefix:TEXT=PRIORITY   a message that begins with TEXT
//	json:FIELD             the field of a JSON object whose value is a priority
//
// TEXT may hold \xNN for any byte. The first prefix that matches counts, then
// the JSON field, of which there may be one; it is found within the first KiB
// and among the keys of the object itself.
func ParsePriorityRules(rules []string) (PriorityRules, error) {
	var parsed PriorityRules
	var faults []error
	for _, rule := range rules {
		if err := parsed.parse(rule); err != nil {
			faults = append(faults, fmt.Errorf("priority rule %q: %w", rule, err))
		}
	}
	return parsed, errors.Join(faults...)
}

func (r *PriorityRules) parse(rule string) error {
	kind, rest, _ := strings.Cut(rule, ":")
	switch kind {
	case "prefix":
		at := strings.LastIndexByte(rest, '=')
		if at <= 0 {
			return errors.New("want prefix:TEXT=PRIORITY")
		}
		priority, err := session.ParsePriority(rest[at+1:])
		if err != nil {
			return err
		}
		prefix, err := unescape(rest[:at])
		if err != nil {
			return err
		}
		r.prefixes = append(r.prefixes, prefixRule{prefix, priority})
		return nil
	case "json":
		if rest == "" || strings.ContainsAny(rest, `"\`) {
			return errors.New(`want json:FIELD, without " and \`)
		}
		if r.field != "" {
			return fmt.Errorf("there is one for %s already", r.field)
		}
		r.field = rest
		return nil
	}
	return errors.New("want prefix:TEXT=PRIORITY or json:FIELD")
}

// unescape replaces \xNN by the byte and \\ by one backslash.
func unescape(text string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out = append(out, text[i])
			continue
		}
		rest := text[i+1:]
		switch {
		case strings.HasPrefix(rest, `\`):
			out = append(out, '\\')
			i++
		case len(rest) >= 3 && rest[0] == 'x':
			b, err := strconv.ParseUint(rest[1:3], 16, 8)
			if err != nil {
				return nil, fmt.Errorf(`\%s is not \xNN`, rest[:3])
			}
			out = append(out, byte(b))
			i += 3
		default:
			return nil, errors.New(`a backslash begins \xNN or \\`)
		}
	}
	return out, nil
}

// None reports whether there is no rule.
func (r *PriorityRules) None() bool { return len(r.prefixes) == 0 && r.field == "" }

// Of returns the priority of a message, or fallback where no rule speaks. It
// does not allocate.
func (r *PriorityRules) Of(payload []byte, fallback session.Priority) session.Priority {
	for i := range r.prefixes {
		if bytes.HasPrefix(payload, r.prefixes[i].prefix) {
			return r.prefixes[i].priority
		}
	}
	if r.field == "" {
		return fallback
	}
	value := topLevelString(payload[:min(len(payload), jsonWindow)], r.field)
	switch string(value) { // does not allocate
	case "high":
		return session.High
	case "medium":
		return session.Medium
	case "low":
		return session.Low
	}
	return fallback
}

// topLevelString returns the raw text of the string that field has in the
// object that data begins with, or nil. It looks for no more than it needs:
// data that is not JSON, or is cut, gives what was found before.
func topLevelString(data []byte, field string) []byte {
	s := scanner{data}
	if !s.take('{') {
		return nil
	}
	for {
		key, ok := s.text()
		if !ok || !s.take(':') {
			return nil
		}
		if string(key) == field {
			value, _ := s.text()
			return value
		}
		if !s.skipValue() || !s.take(',') {
			return nil
		}
	}
}

// scanner reads JSON from the front of rest.
type scanner struct{ rest []byte }

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\n' || s.rest[0] == '\r') {
		s.rest = s.rest[1:]
	}
}

// take removes c, and white space before it, if it is there.
func (s *scanner) take(c byte) bool {
	if s.space(); len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// text removes a string and returns what is between its quotes.
func (s *scanner) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '"':
			value := s.rest[:i]
			s.rest = s.rest[i+1:]
			return value, true
		}
	}
	return nil, false
}

// skipValue removes one value of any kind.
func (s *scanner) skipValue() bool {
	depth := 0
	for s.space(); len(s.rest) > 0; s.space() {
		switch c := s.rest[0]; c {
		case '"':
			if _, ok := s.text(); !ok {
				return false
			}
		case '{', '[':
			depth++
			s.rest = s.rest[1:]
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return false
			}
			s.rest = s.rest[1:]
		case ',', ':':
			if depth == 0 {
				return false
			}
			s.rest = s.rest[1:]
			continue
		default: // a number or a word
			n := bytes.IndexAny(s.rest, ",:]} \t\r\n")
			if n <= 0 {
				return false
			}
			s.rest = s.rest[n:]
		}
		if depth == 0 {
			return true
		}
	}
	return false
}
