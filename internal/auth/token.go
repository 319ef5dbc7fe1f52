package auth

import (
	"bytes"
	"errors"
	"iter"
)

// Source is where a request carried its token.
type Source uint8

// Where tokens may be, in the order of preference of the documents.
const (
	NoToken         Source = iota
	FromHeader             // Authorization: Bearer TOKEN
	FromSubprotocol        // Sec-WebSocket-Protocol: bearer.TOKEN, which browsers can send
	FromQuery              // ?access_token=TOKEN, which ends up in the logs of proxies
)

// Ambient reports whether a browser sends what authenticates with requests
// that a foreign page makes it send, so that only its Origin tells them apart.
// Nobody but the page itself can have put a token into a header or a
// subprotocol; what the browser adds beside it, a cookie, is another matter. A
// query may come from a link.
func (s Source) Ambient() bool { return s == FromQuery || s == NoToken }

// Errors of FindToken.
var (
	errTwoTokens = errors.New("the request carries more than one token: send it in one place (RFC 6750 section 2)")
	errNotBearer = errors.New("the Authorization header is not of the form: Bearer TOKEN")
	errBadToken  = errors.New("the token has characters that RFC 6750 does not allow")
)

const bearerPrefix = "bearer."

// FindToken finds the one token of a request: in the value of its
// Authorization header, nil for none; in the subprotocols that it offers; in
// the values of its query parameter access_token. The token is a copy.
// Two tokens are an error even if they are equal (RFC 6750 section 2).
func FindToken(authorization []byte, offers iter.Seq[[]byte], queries iter.Seq[string]) (string, Source, error) {
	var found []byte
	source := NoToken
	if authorization != nil {
		scheme, value, ok := bytes.Cut(authorization, []byte(" "))
		if !ok || !bytes.EqualFold(scheme, []byte("bearer")) {
			return "", NoToken, errNotBearer
		}
		found, source = bytes.TrimLeft(value, " "), FromHeader
	}
	for offer := range offers {
		value, ok := bytes.CutPrefix(offer, []byte(bearerPrefix))
		if !ok {
			continue
		}
		if source != NoToken {
			return "", NoToken, errTwoTokens
		}
		found, source = value, FromSubprotocol
	}
	for query := range queries {
		if source != NoToken {
			return "", NoToken, errTwoTokens
		}
		found, source = []byte(query), FromQuery
	}
	if source != NoToken && !isBearer(found) {
		return "", NoToken, errBadToken
	}
	return string(found), source, nil
}

// isBearer checks b64token, RFC 6750 section 2.1: letters, digits and -._~+/,
// then any number of equals signs.
func isBearer(b []byte) bool {
	b = bytes.TrimRight(b, "=")
	if len(b) == 0 {
		return false
	}
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}
