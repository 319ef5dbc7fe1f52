package wsproto

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// maxCloseReason is what a close frame has room for beside its code: 125
// bytes of control payload less two (RFC 6455 section 5.5.1).
const maxCloseReason = ws.MaxControlFramePayloadSize - 2

// AppendClose appends an unmasked close frame to dst. Code 0 or CodeNoStatus
// gives a frame without code or reason, which answers one that had none. A
// code that must not be sent becomes CodeInternalError: it is our mistake and
// the peer has to hear something it can read. The reason is cut to what fits,
// between characters, and left out unless it is UTF-8. Safe from any goroutine.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	if code == 0 || code == CodeNoStatus {
		return appendHeader(dst, ws.OpClose, false, 0)
	}
	if !validCloseCode(code) {
		code = CodeInternalError
	}
	if !utf8.ValidString(reason) {
		reason = ""
	}
	if len(reason) > maxCloseReason {
		cut := maxCloseReason
		for !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	dst = appendHeader(dst, ws.OpClose, false, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, code)
	return append(dst, reason...)
}

// ParseClose reads the payload of a close frame. An empty payload is
// CodeNoStatus, RFC 6455 section 7.1.5. reason borrows from payload. The error is
// a *ProtocolError; a Decoder has checked each close frame that it delivers,
// so there it is nil. Safe from any goroutine.
func ParseClose(payload []byte) (code uint16, reason []byte, err error) {
	switch len(payload) {
	case 0:
		return CodeNoStatus, nil, nil
	case 1:
		return 0, nil, errCloseLength
	}
	code, reason = binary.BigEndian.Uint16(payload), payload[2:]
	if !validCloseCode(code) {
		return 0, nil, errCloseCode
	}
	if !utf8.Valid(reason) {
		return 0, nil, errCloseReason
	}
	return code, reason, nil
}

// validCloseCode tells the codes that may be on the wire: those defined by
// RFC 6455 section 7.4.1 or registered since (1012 to 1014, IANA), less 1004,
// 1005, 1006 and 1015 which stand for the absence of a frame; 3000 to 3999 for
// libraries and 4000 to 4999 for private use (section 7.4.2).
// ws.CheckCloseFrameData knows no code above 1011, and 1012 is our own drain.
func validCloseCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	default:
		return code >= 3000 && code <= 4999
	}
}
