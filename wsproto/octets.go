package wsproto

import "bytes"

// Classes of octets, one bit each.
const (
	tokenOctet = 1 << iota // tchar, RFC 9110 section 5.6.2
	fieldOctet             // VCHAR, obs-text, SP and HTAB, RFC 9110 section 5.5
	pathOctet              // pchar and "/", less pct-encoded, RFC 3986 section 3.3
	queryOctet             // the same and "?", RFC 3986 section 3.4
	hostOctet              // reg-name, less pct-encoded, RFC 3986 section 3.2.2
)

var octets = classifyOctets()

func classifyOctets() (table [256]uint8) {
	set := func(bits uint8, chars string) {
		for _, c := range []byte(chars) {
			table[c] |= bits
		}
	}
	const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	set(tokenOctet, alphanumeric+"!#$%&'*+-.^_`|~")
	set(pathOctet|queryOctet|hostOctet, alphanumeric+"-._~"+"!$&'()*+,;=")
	set(pathOctet|queryOctet, ":@/")
	set(queryOctet, "?")
	for c := range table {
		if c == '\t' || c >= ' ' && c != 0x7f {
			table[c] |= fieldOctet
		}
	}
	return table
}

// all reports whether every octet of b is in class; it is of an empty b.
func all(b []byte, class uint8) bool {
	for _, c := range b {
		if octets[c]&class == 0 {
			return false
		}
	}
	return true
}

// allEscaped is all for a URI component, where %XX stands for any octet.
func allEscaped(b []byte, class uint8) bool {
	for i := 0; i < len(b); i++ {
		switch {
		case octets[b[i]]&class != 0:
		case b[i] == '%' && i+2 < len(b) && unhex(b[i+1]) >= 0 && unhex(b[i+2]) >= 0:
			i += 2
		default:
			return false
		}
	}
	return true
}

func isToken(b []byte) bool { return len(b) > 0 && all(b, tokenOctet) }

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	default:
		return -1
	}
}

// equalFold compares in ASCII alone: U+212A, the Kelvin sign, is not a k here
// as it is in bytes.EqualFold. lower is in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trimOWS cuts optional white space, RFC 9110 section 5.6.3, off both ends.
// The result is never nil, where bytes.Trim gives nil for all white space: a
// header without a value is there.
func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// cursor reads the grammar of a list header, RFC 9110 section 5.6.
type cursor []byte

func (c *cursor) skipOWS() { *c = bytes.TrimLeft(*c, " \t") }

// take consumes the octet want if it is next.
func (c *cursor) take(want byte) bool {
	if len(*c) == 0 || (*c)[0] != want {
		return false
	}
	*c = (*c)[1:]
	return true
}

// token consumes a token; it is empty if none is next.
func (c *cursor) token() []byte {
	n := 0
	for n < len(*c) && octets[(*c)[n]]&tokenOctet != 0 {
		n++
	}
	token := (*c)[:n]
	*c = (*c)[n:]
	return token
}

// element consumes the next token of a list 1#token, and the comma before it.
// Empty elements are passed over, RFC 9110 section 5.6.1.2. ok is false at the
// end of the list, and where the list is malformed: then something is left.
func (c *cursor) element() (token []byte, ok bool) {
	rest := *c
	rest.skipOWS()
	for rest.take(',') {
		rest.skipOWS()
	}
	token = rest.token()
	rest.skipOWS()
	if len(token) == 0 && len(rest) > 0 || len(rest) > 0 && rest[0] != ',' {
		return nil, false
	}
	*c = rest
	return token, len(token) > 0
}
