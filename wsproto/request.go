package wsproto

import (
	"bytes"
	"iter"
)

// Request is an upgrade request that Upgrader.Parse accepted, or what it had
// read of one when it refused it. Everything in it borrows from the head given
// to Parse. The same Request may be given to Parse again and again; then
// nothing is allocated. Not safe for concurrent use.
type Request struct {
	Path     []byte // as sent, percent-encoded
	RawQuery []byte // as sent, without the question mark
	Host     []byte // of an absolute-form target, else of the Host header
	Origin   []byte // nil if there was none; at most one is accepted

	fields      []field
	key         []byte
	subprotocol string // chosen
	deflate     deflateTerms
}

// field is one header line; the value is trimmed.
type field struct{ name, value []byte }

// Header returns the value of the first header line of that name, nil if
// there is none. name is in lower case. Host, Origin, Authorization and
// Sec-WebSocket-Key cannot be there twice.
func (r *Request) Header(name string) []byte {
	for i := range r.fields {
		if equalFold(r.fields[i].name, name) {
			return r.fields[i].value
		}
	}
	return nil
}

// HeaderLines yields the value of every header line of that name, in lower
// case, in the order they came.
func (r *Request) HeaderLines(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range r.fields {
			if equalFold(r.fields[i].name, name) && !yield(r.fields[i].value) {
				return
			}
		}
	}
}

// Query returns the first value of a query parameter, decoded; ok is false if
// it is not there. The value can be any bytes at all: "%00" is one.
func (r *Request) Query(name string) (value string, ok bool) {
	value, _, ok = nextValue(r.RawQuery, name)
	return value, ok
}

// Queries returns every value of a query parameter, decoded.
func (r *Request) Queries(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for value, rest, ok := nextValue(r.RawQuery, name); ok; value, rest, ok = nextValue(rest, name) {
			if !yield(value) {
				return
			}
		}
	}
}

// Authorization returns the value of the Authorization header, nil if there
// is none.
func (r *Request) Authorization() []byte { return r.Header("authorization") }

// Subprotocol is the one that Accept will name, "" for none.
func (r *Request) Subprotocol() string { return r.subprotocol }

// Offers yields the subprotocols that the client offered, most wanted first.
// Browsers, which cannot set a header, carry tokens in them.
func (r *Request) Offers() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range r.HeaderLines("sec-websocket-protocol") {
			c := cursor(line)
			for offer, ok := c.element(); ok; offer, ok = c.element() {
				if !yield(offer) {
					return
				}
			}
		}
	}
}

// hasElement reports whether a list header has the token, in lower case. An
// element can also be more than a token: the list is split at commas only.
func (r *Request) hasElement(name, token string) bool {
	for line := range r.HeaderLines(name) {
		for len(line) > 0 {
			var element []byte
			element, line, _ = bytes.Cut(line, []byte(","))
			if equalFold(trimOWS(element), token) {
				return true
			}
		}
	}
	return false
}

// parseFields reads the header lines up to the empty one. It applies every
// rule of syntax; what the headers mean is for others.
func (r *Request) parseFields(lines []byte, maxHeaders int) *Refusal {
	for {
		line, rest, ok := cutLine(lines)
		if !ok {
			return NewRefusal(400, "a line of the request does not end in CRLF")
		}
		if len(line) == 0 {
			if len(rest) > 0 {
				return NewRefusal(400, "bytes follow the request head")
			}
			return nil
		}
		lines = rest
		// RFC 9112 section 5.2: obsolete line folding; section 2.2: white
		// space before the first header.
		if line[0] == ' ' || line[0] == '\t' {
			return NewRefusal(400, "a header line starts with white space (line folding is obsolete)")
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		// RFC 9112 section 5.1: no white space before the colon; it is how
		// requests are smuggled past a proxy.
		if !found || !isToken(name) {
			return NewRefusal(400, "a header name is empty or has a character that is not allowed, such as a space before the colon")
		}
		// RFC 9110 section 5.5: CR, LF and NUL are dangerous, other control
		// characters are invalid.
		if !all(value, fieldOctet) {
			return NewRefusal(400, "a header value has a control character")
		}
		if len(r.fields) == maxHeaders {
			return tooManyHeaders()
		}
		r.fields = append(r.fields, field{name, trimOWS(value)})
	}
}

// cutLine splits off the first line. A bare LF does not end a line and is
// found by whoever looks at the octets of the line; so is a bare CR.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	return bytes.Cut(b, []byte("\r\n"))
}

func tooManyHeaders() *Refusal {
	return NewRefusal(431, "too many headers; send fewer, cookies included")
}
