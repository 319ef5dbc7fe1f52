package wsproto

import "bytes"

// splitTarget takes a request target apart. authority is nil unless the target is
// in absolute-form, which a server must accept (RFC 9112 section 3.2.2). The
// forms of CONNECT and OPTIONS, a fragment and anything that RFC 3986 wants
// percent-encoded are refused.
func splitTarget(target []byte) (authority, path, query []byte, ok bool) {
	path = target
	if scheme, rest, found := bytes.Cut(target, []byte("://")); found && target[0] != '/' {
		switch {
		case equalFold(scheme, "ws"), equalFold(scheme, "wss"), equalFold(scheme, "http"), equalFold(scheme, "https"):
		default:
			return nil, nil, nil, false
		}
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		authority, path = rest[:end], rest[end:]
		if !validHost(authority) { // user information is an error too, RFC 9110 section 4.2.4
			return nil, nil, nil, false
		}
	}
	path, query, _ = bytes.Cut(path, []byte("?"))
	if len(path) == 0 && authority != nil {
		path = []byte("/") // RFC 9110 section 4.2.3
	}
	if len(path) == 0 || path[0] != '/' || !allEscaped(path, pathOctet) || !allEscaped(query, queryOctet) {
		return nil, nil, nil, false
	}
	return authority, path, query, true
}

// validHost checks uri-host [ ":" port ], RFC 9110 section 7.2. The host must
// not be empty: http URIs have one (section 4.2.1).
func validHost(b []byte) bool {
	host, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' { // IP-literal, RFC 3986 section 3.2.2
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return false
		}
		host, port = b[1:end], b[end+1:]
		for _, c := range host {
			if unhex(c) < 0 && c != ':' && c != '.' {
				return false
			}
		}
	} else if colon := bytes.IndexByte(b, ':'); colon >= 0 {
		host, port = b[:colon], b[colon:]
	}
	if len(host) == 0 || b[0] != '[' && !allEscaped(host, hostOctet) {
		return false
	}
	if len(port) == 0 {
		return true
	}
	const maxPortDigits = 5
	if port[0] != ':' || len(port) > 1+maxPortDigits {
		return false
	}
	for _, c := range port[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// nextValue returns the first value of name in a query of the form a=b&c=d,
// decoded, and what is behind it. Its percent-encoding was checked by splitTarget.
func nextValue(query []byte, name string) (value string, rest []byte, ok bool) {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		key, value, _ := bytes.Cut(pair, []byte("="))
		if equalUnescaped(key, name) {
			return unescape(value), query, true
		}
	}
	return "", nil, false
}

// nextUnescaped returns the first octet of b decoded, and how many it took.
// A plus is a space in a query (application/x-www-form-urlencoded), which is
// what URLSearchParams and url.Values write.
func nextUnescaped(b []byte) (c byte, n int) {
	switch {
	case b[0] == '%' && len(b) > 2:
		return byte(unhex(b[1])<<4 | unhex(b[2])), 3
	case b[0] == '+':
		return ' ', 1
	default:
		return b[0], 1
	}
}

func equalUnescaped(b []byte, s string) bool {
	for len(b) > 0 {
		c, n := nextUnescaped(b)
		if s == "" || s[0] != c {
			return false
		}
		b, s = b[n:], s[1:]
	}
	return s == ""
}

func unescape(b []byte) string {
	if !bytes.ContainsAny(b, "%+") {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		c, n := nextUnescaped(b)
		out, b = append(out, c), b[n:]
	}
	return string(out)
}
