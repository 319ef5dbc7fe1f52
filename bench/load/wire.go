package load

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
)

// Opcodes of RFC 6455 section 5.2 that a client meets.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	maxResponseHead = 8 << 10  // bytes of the answer to the upgrade
	maxFramePayload = 64 << 20 // larger claims are taken for garbage
	maxControl      = 125      // payload of a control frame, RFC 6455 section 5.5
)

// upgradeKey is the Sec-WebSocket-Key that every connection of a process
// sends, and the answer that it must get (RFC 6455 section 4.2.2). One key
// serves all: nothing caches an upgrade on the way to a server under test.
type upgradeKey struct{ key, accept string }

func newUpgradeKey(seed uint64) upgradeKey {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], seed)
	key := base64.StdEncoding.EncodeToString(raw[:])
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return upgradeKey{key, base64.StdEncoding.EncodeToString(sum[:])}
}

// appendUpgrade appends the request; target is the path with its query.
func appendUpgrade(dst []byte, host, target, key string) []byte {
	dst = append(dst, "GET "...)
	dst = append(dst, target...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	dst = append(dst, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	dst = append(dst, key...)
	return append(dst, "\r\n\r\n"...)
}

// upgradeAnswer is what a server said to the upgrade.
type upgradeAnswer struct {
	status       int // 101: accepted
	retryAfterMs int // from Retry-After in seconds; 0: none given
	length       int // of the head; what follows is the first frames
}

var (
	errNotHTTP   = errors.New("the answer to the upgrade is not HTTP")
	errTLS       = errors.New("the answer to the upgrade is a TLS alert")
	errBadAccept = errors.New("the answer's Sec-WebSocket-Accept is wrong or missing")
)

// version10 begins answers of servers that refuse a request before they have
// understood it. It cannot accept an upgrade (RFC 9110 section 7.8).
const version10 = "HTTP/1.0 "

// startsLike says whether b, as far as it has come, begins with prefix.
func startsLike(b []byte, prefix string) bool {
	n := min(len(b), len(prefix))
	return string(b[:n]) == prefix[:n]
}

// parseAnswer reads the head at the start of b. length is 0 while b holds no
// complete head.
func parseAnswer(b []byte, accept string) (a upgradeAnswer, err error) {
	const version = "HTTP/1.1 "
	const alert = "\x15\x03" // of TLS, RFC 8446 section 5.1
	if startsLike(b, alert) {
		if len(b) < len(alert) {
			return a, nil
		}
		return a, errTLS
	}
	if !startsLike(b, version) && !startsLike(b, version10) {
		return a, errNotHTTP
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxResponseHead {
			return a, errNotHTTP
		}
		return a, nil
	}
	if len(b) < len(version)+3 {
		return a, errNotHTTP
	}
	status, convErr := strconv.Atoi(string(b[len(version) : len(version)+3]))
	if convErr != nil || status < 100 || (status == 101 && startsLike(b, version10)) {
		return a, errNotHTTP
	}
	a.status = status
	var got []byte
	for line := range bytes.SplitSeq(b[:end], []byte("\r\n")) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			continue
		}
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("Sec-WebSocket-Accept")):
			got = value
		case bytes.EqualFold(name, []byte("Retry-After")):
			if s, err := strconv.Atoi(string(value)); err == nil && s >= 0 && s <= 3600 {
				a.retryAfterMs = s * 1000
			}
		}
	}
	a.length = end + 4
	if status == 101 && string(got) != accept {
		return a, errBadAccept
	}
	return a, nil
}

// frameHead is the start of a server's frame, unmasked as RFC 6455 section
// 5.1 demands.
type frameHead struct {
	fin    bool
	op     byte
	length int // of the header: 2, 4 or 10 bytes
	size   int // of the payload
}

var errBadFrame = errors.New("not a frame that a server may send")

// parseFrameHead reads the header at the start of b; ok is false while it is
// incomplete.
func parseFrameHead(b []byte) (h frameHead, ok bool, err error) {
	if len(b) < 2 {
		return h, false, nil
	}
	if b[0]&0x70 != 0 || b[1]&0x80 != 0 {
		return h, false, errBadFrame
	}
	h.fin, h.op, h.length, h.size = b[0]&0x80 != 0, b[0]&0x0f, 2, int(b[1])
	switch h.size {
	case 126:
		if len(b) < 4 {
			return h, false, nil
		}
		h.length, h.size = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return h, false, nil
		}
		n := binary.BigEndian.Uint64(b[2:])
		if n > maxFramePayload {
			return h, false, errBadFrame
		}
		h.length, h.size = 10, int(n)
	}
	switch h.op {
	case opContinuation, opText, opBinary:
	case opClose, opPing, opPong:
		if !h.fin || h.size > maxControl {
			return h, false, errBadFrame
		}
	default:
		return h, false, errBadFrame
	}
	return h, true, nil
}

// appendMasked appends one final client frame. The payload is masked with
// mask in place of the copy, never in the caller's slice.
func appendMasked(dst []byte, op byte, mask [4]byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n <= 0xffff:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, mask[:]...)
	at := len(dst)
	dst = append(dst, payload...)
	for i := range payload {
		dst[at+i] ^= mask[i&3]
	}
	return dst
}

// StampLen is the length of a Stamp as text, and so the smallest message
// that can be measured.
const StampLen = 32

const stampMagic = "lpb1"

// Stamp opens the payload of every measured message. It is text, so that it
// may travel in text frames and through JSON:
//
//	0      4              16                32
//	| lpb1 | seq, 12 hex  | time, 16 hex    |
type Stamp struct {
	Seq  uint64 // 48 bits: worker number (12) and count (36)
	Time int64  // CLOCK_MONOTONIC in ns at which the message was due
}

// AppendText appends the stamp's 32 bytes to dst. It never fails.
func (s Stamp) AppendText(dst []byte) ([]byte, error) {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[0:], s.Seq<<16)
	dst = append(dst, stampMagic...)
	dst = hex.AppendEncode(dst, raw[:6])
	binary.BigEndian.PutUint64(raw[0:], uint64(s.Time))
	return hex.AppendEncode(dst, raw[:8]), nil
}

// ParseStamp reads the stamp at the start of b; ok is false when there is none.
func ParseStamp(b []byte) (s Stamp, ok bool) {
	if len(b) < StampLen || string(b[:4]) != stampMagic {
		return s, false
	}
	var raw [14]byte
	if _, err := hex.Decode(raw[:], b[4:StampLen]); err != nil {
		return s, false
	}
	s.Seq = binary.BigEndian.Uint64(raw[0:8]) >> 16
	s.Time = int64(binary.BigEndian.Uint64(raw[6:14]))
	return s, true
}
