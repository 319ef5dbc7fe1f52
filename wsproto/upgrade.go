package wsproto

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
)

// What a zero Upgrader stands for, and the largest request it can be given.
const (
	DefaultPath            = "/ws"
	DefaultMaxRequestBytes = 8 << 10
	DefaultMaxHeaders      = 64

	maxRequestBytesCeiling = 1 << 20
	maxHeadersCeiling      = 4096
)

// Upgrader decides over upgrade requests. It is not changed after its first
// use and is safe for concurrent use.
type Upgrader struct {
	// Path that is served, compared octet by octet; empty is /ws.
	Path string
	// Subprotocols that are spoken, the server's order of preference. A
	// client that offers none of them is accepted without one, and decides itself
	// (RFC 6455 section 4.2.2).
	Subprotocols []string
	// Deflate accepts permessage-deflate where it is offered. Measured, it
	// costs an idle session no memory (TestDeflateCostsNoIdleMemory: less
	// than a byte), since no window is kept between messages: a processor
	// that compresses holds 0.29 MB, one that inflates 0.06 MB, and the second
	// garbage collection after the last message takes both. So memory is no
	// reason to leave it off. What it does cost is CPU on one of two cores:
	// 1 KiB of JSON takes 4.2 µs to send and 2.4 µs to receive on top of
	// 0.1 µs, and has a quarter of the bytes on the wire; a message that goes
	// to many is compressed once. Messages below the Deflater's minimum are
	// sent as they are.
	Deflate bool
	// MaxRequestBytes of the request line and headers together; 0 is 8 KiB.
	MaxRequestBytes int
	// MaxHeaders is the number of header lines; 0 is 64.
	MaxHeaders int
}

// Handshake is what was agreed.
type Handshake struct {
	Subprotocol string // "" for none
	Deflate     bool   // for Decoder.Feed, and for sending what a Deflater made
}

// Validate reports every field that is out of range.
func (u *Upgrader) Validate() error {
	var errs []error
	if path := []byte(u.path()); path[0] != '/' || !allEscaped(path, pathOctet) {
		errs = append(errs, fmt.Errorf("path %q: want an absolute path, percent-encoded where RFC 3986 asks for it", u.Path))
	}
	for i, p := range u.Subprotocols {
		if !isToken([]byte(p)) {
			errs = append(errs, fmt.Errorf("subprotocol %q: want letters, digits and any of !#$%%&'*+-.^_`|~", p))
		}
		for _, q := range u.Subprotocols[:i] {
			if p == q {
				errs = append(errs, fmt.Errorf("subprotocol %q: is listed twice", p))
			}
		}
	}
	if n := u.maxRequestBytes(); n < 256 || n > maxRequestBytesCeiling {
		errs = append(errs, fmt.Errorf("max request bytes %d: want 256 to %d", n, maxRequestBytesCeiling))
	}
	if n := u.maxHeaders(); n < 5 || n > maxHeadersCeiling {
		errs = append(errs, fmt.Errorf("max headers %d: want 5, which an upgrade needs, to %d", n, maxHeadersCeiling))
	}
	return errors.Join(errs...)
}

func (u *Upgrader) path() string {
	if u.Path == "" {
		return DefaultPath
	}
	return u.Path
}

func (u *Upgrader) maxRequestBytes() int { return orDefault(u.MaxRequestBytes, DefaultMaxRequestBytes) }
func (u *Upgrader) maxHeaders() int      { return orDefault(u.MaxHeaders, DefaultMaxHeaders) }

// RequestLimit is the most bytes that a request head may have.
func (u *Upgrader) RequestLimit() int { return u.maxRequestBytes() }

// RequestEnd returns the length of the request head at the start of buf, its
// empty line included, or 0 while it is not complete; bytes after it belong to
// the frames. buf is all that has arrived so far. It refuses as early as it
// can: a head over the limits before the rest of it has come, a peer that
// speaks TLS or ends its lines in LF at once. A call costs some 10 ns per line
// in buf, so even a client that sends 8 KiB byte by byte costs less here than
// in system calls.
func (u *Upgrader) RequestEnd(buf []byte) (int, *Refusal) {
	if len(buf) == 0 {
		return 0, nil
	}
	const tlsHandshake = 0x16 // RFC 8446 section 5.1
	if buf[0] == tlsHandshake {
		return 0, NewRefusal(400, "this port does not speak TLS; use ws:// or the port of the TLS proxy")
	}
	if octets[buf[0]]&tokenOctet == 0 && !mayBeEmptyLine(buf) {
		return 0, NewRefusal(400, "this is not an HTTP request")
	}
	limit := u.maxRequestBytes()
	head := buf[:min(len(buf), limit)]
	pos := leadingEmptyLine(head)
	for lines := 0; ; lines++ {
		i := bytes.IndexByte(head[pos:], '\n')
		switch {
		case i < 0 && len(head) < limit:
			return 0, nil
		case i < 0 && lines == 0:
			return 0, NewRefusal(414, "the request line is too long") // RFC 9112 section 3
		case i < 0:
			return 0, NewRefusal(431, "the request headers are too large; send less, cookies included")
		case i == 0 || head[pos+i-1] != '\r':
			return 0, NewRefusal(400, "a line of the request does not end in CRLF")
		case i == 1:
			return pos + 2, nil
		case lines > u.maxHeaders():
			return 0, tooManyHeaders()
		}
		pos += i + 1
	}
}

// leadingEmptyLine returns the length of the one empty line that a server
// should ignore before the request line, RFC 9112 section 2.2.
func leadingEmptyLine(b []byte) int {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return 2
	}
	return 0
}

func mayBeEmptyLine(b []byte) bool { return b[0] == '\r' && (len(b) == 1 || b[1] == '\n') }

// Accept appends the 101 response (RFC 6455 section 4.2.2) for a request that
// Parse accepted, and returns what was agreed. It needs nothing of the request
// afterwards: where authentication takes its time, the response can be made
// now and sent later.
func (u *Upgrader) Accept(dst []byte, r *Request) ([]byte, Handshake) {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\n"+
		"Upgrade: websocket\r\n"+
		"Connection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "...)
	dst = appendAcceptKey(dst, r.key)
	dst = append(dst, "\r\n"...)
	if r.subprotocol != "" {
		dst = append(dst, "Sec-WebSocket-Protocol: "...)
		dst = append(dst, r.subprotocol...)
		dst = append(dst, "\r\n"...)
	}
	if r.deflate.accepted {
		dst = r.deflate.append(dst)
	}
	dst = append(dst, "\r\n"...)
	return dst, Handshake{Subprotocol: r.subprotocol, Deflate: r.deflate.accepted}
}

// appendAcceptKey proves that the key was read, RFC 6455 section 4.2.2 item 5.4.
func appendAcceptKey(dst, key []byte) []byte {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	var buf [keyLen + len(guid)]byte
	copy(buf[copy(buf[:], key):], guid)
	sum := sha1.Sum(buf[:])
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}
