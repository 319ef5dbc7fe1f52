package wsproto

import (
	"bytes"
	"encoding/base64"
)

const (
	keyLen    = 24 // base64 of 16 bytes
	nonceLen  = 16
	version13 = "13"

	// maxOffers of subprotocols, so that checking that they differ stays cheap.
	maxOffers = 32
)

// singletons are the headers that may not come twice: RFC 9112 section 3.2
// (Host), RFC 9110 section 8.6 (Content-Length) and 11.6.2 (Authorization),
// RFC 6454 section 7.3 (Origin), RFC 6455 sections 11.3.1 and 11.3.5. Two of
// them mean that two readers of the request can disagree about it.
var singletons = [...]struct{ name, refusal string }{
	{"host", "two Host headers"},
	{"content-length", "two Content-Length headers"},
	{"authorization", "two Authorization headers"},
	{"origin", "two Origin headers"},
	{"sec-websocket-key", "two Sec-WebSocket-Key headers"},
	{"sec-websocket-version", "two Sec-WebSocket-Version headers"},
}

// Parse reads a request head that RequestEnd has delimited and decides over
// it. r is valid until head changes. Where several rules are broken, syntax
// comes before version, path, method and then the rules of RFC 6455, in the
// order of its section 4.2.1.
func (u *Upgrader) Parse(head []byte, r *Request) *Refusal {
	*r = Request{fields: r.fields[:0]}
	if len(head) > u.maxRequestBytes() {
		return NewRefusal(431, "the request headers are too large; send less, cookies included")
	}
	line, lines, ok := cutLine(head[leadingEmptyLine(head):])
	if !ok {
		return NewRefusal(400, "a line of the request does not end in CRLF")
	}
	method, target, minor, refusal := parseRequestLine(line)
	if refusal != nil {
		return refusal
	}
	refusal = r.parseFields(lines, u.maxHeaders())
	r.Origin = r.Header("origin")
	if refusal == nil {
		refusal = r.parseTarget(target)
	}
	if refusal == nil {
		refusal = u.decide(r, method, minor)
	}
	if refusal != nil && string(method) == "HEAD" {
		refusal.withoutBody = true
	}
	return refusal
}

// parseRequestLine splits method SP target SP HTTP-version, RFC 9112 section 3.
// One space, no other white space: more is how parsers come to disagree.
func parseRequestLine(line []byte) (method, target []byte, minor byte, _ *Refusal) {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, found := bytes.Cut(rest, []byte(" "))
	if !found || !isToken(method) || len(target) == 0 {
		return nil, nil, 0, NewRefusal(400, "the request line is malformed")
	}
	// HTTP-version = "HTTP/" DIGIT "." DIGIT, in capitals (RFC 9112 section 2.3)
	if len(version) != len("HTTP/1.1") || string(version[:5]) != "HTTP/" || version[6] != '.' ||
		!isDigit(version[5]) || !isDigit(version[7]) {
		return nil, nil, 0, NewRefusal(400, "the request line is malformed")
	}
	if version[5] != '1' {
		return nil, nil, 0, NewRefusal(505, "use HTTP/1.1") // RFC 9110 section 15.6.6
	}
	return method, target, version[7], nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// parseTarget sets Path, RawQuery and Host.
func (r *Request) parseTarget(target []byte) *Refusal {
	authority, path, query, ok := splitTarget(target)
	if !ok {
		return NewRefusal(400, "the request target is malformed; percent-encode what a URI does not allow")
	}
	r.Path, r.RawQuery = path, query
	// RFC 9112 section 3.2.2: the authority of the target comes before Host,
	// which has to be there all the same.
	r.Host = authority
	if authority == nil {
		r.Host = r.Header("host")
	}
	return nil
}

// decide applies the rules that come after syntax.
func (u *Upgrader) decide(r *Request, method []byte, minor byte) *Refusal {
	if refusal := r.checkFraming(minor); refusal != nil {
		return refusal
	}
	if string(r.Path) != u.path() {
		return NewRefusal(404, "no such path; WebSocket is served at "+u.path())
	}
	if string(method) != "GET" {
		return NewRefusal(405, "use GET to open a WebSocket")
	}
	// An HTTP/1.0 request cannot ask for an upgrade: RFC 9110 section 7.8.
	if minor == '0' {
		return NewRefusal(426, "use HTTP/1.1 (behind nginx: proxy_http_version 1.1)")
	}
	if refusal := r.checkUpgrade(); refusal != nil {
		return refusal
	}
	if refusal := u.chooseSubprotocol(r); refusal != nil {
		return refusal
	}
	return u.chooseExtensions(r)
}

// checkFraming makes sure that there is one reading of where the request ends
// and whom it is for.
func (r *Request) checkFraming(minor byte) *Refusal {
	var seen [len(singletons)]bool
	for _, f := range r.fields {
		for i := range singletons {
			if !equalFold(f.name, singletons[i].name) {
				continue
			}
			if seen[i] {
				return NewRefusal(400, singletons[i].refusal)
			}
			seen[i] = true
		}
	}
	host := r.Header("host")
	if minor == '0' && host == nil {
		host = []byte("-") // HTTP/1.0 knows no Host
	}
	if !validHost(host) {
		return NewRefusal(400, "the Host header is missing or malformed")
	}
	// RFC 9112 section 6: a body would be taken for frames, or frames for a
	// body. Content-Length: 0 says that there is none.
	if r.Header("transfer-encoding") != nil {
		return NewRefusal(400, "an upgrade request has no body: Transfer-Encoding is not accepted")
	}
	if length := r.Header("content-length"); length != nil && string(length) != "0" {
		return NewRefusal(400, "an upgrade request has no body: Content-Length is not 0")
	}
	return nil
}

// checkUpgrade applies RFC 6455 section 4.2.1, items 3 to 6.
func (r *Request) checkUpgrade() *Refusal {
	if !r.hasElement("upgrade", "websocket") {
		return NewRefusal(426, "this is a WebSocket endpoint; send Upgrade: websocket")
	}
	if !r.hasElement("connection", "upgrade") {
		return NewRefusal(400, "send Connection: Upgrade (a proxy may have removed it)")
	}
	version := r.Header("sec-websocket-version")
	if version == nil {
		return NewRefusal(400, "send Sec-WebSocket-Version: 13")
	}
	if string(version) != version13 {
		return NewRefusal(426, "send Sec-WebSocket-Version: 13") // RFC 6455 section 4.4
	}
	r.key = r.Header("sec-websocket-key")
	var nonce [nonceLen + 2]byte
	if len(r.key) != keyLen {
		return NewRefusal(400, "Sec-WebSocket-Key has to be 16 bytes in base64")
	}
	if n, err := base64.StdEncoding.Decode(nonce[:], r.key); err != nil || n != nonceLen {
		return NewRefusal(400, "Sec-WebSocket-Key has to be 16 bytes in base64")
	}
	return nil
}

// chooseSubprotocol takes the first of ours that the client offers (RFC 6455
// section 4.2.2 item 5.5). Offers are tokens, all different (section 4.1 item 10).
func (u *Upgrader) chooseSubprotocol(r *Request) *Refusal {
	var offers [maxOffers][]byte
	n := 0
	for line := range r.HeaderLines("sec-websocket-protocol") {
		c := cursor(line)
		for offer, ok := c.element(); ok; offer, ok = c.element() {
			if n == maxOffers {
				return NewRefusal(400, "too many subprotocols in Sec-WebSocket-Protocol")
			}
			for _, other := range offers[:n] {
				if bytes.Equal(offer, other) {
					return NewRefusal(400, "a subprotocol is offered twice in Sec-WebSocket-Protocol")
				}
			}
			offers[n] = offer
			n++
		}
		if len(c) > 0 {
			return NewRefusal(400, "Sec-WebSocket-Protocol is malformed")
		}
	}
	for _, ours := range u.Subprotocols {
		for _, offer := range offers[:n] {
			if string(offer) == ours {
				r.subprotocol = ours
				return nil
			}
		}
	}
	return nil
}

// chooseExtensions answers RFC 6455 section 9.1.
func (u *Upgrader) chooseExtensions(r *Request) *Refusal {
	var terms deflateTerms
	for line := range r.HeaderLines("sec-websocket-extensions") {
		var ok bool
		if terms, ok = negotiateDeflate(line, terms); !ok {
			return NewRefusal(400, "Sec-WebSocket-Extensions is malformed")
		}
	}
	if u.Deflate {
		r.deflate = terms
	}
	return nil
}
