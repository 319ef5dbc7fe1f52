package wsproto

import (
	"encoding/binary"
	"slices"

	"github.com/gobwas/ws"
)

// The frame of RFC 6455 section 5.2:
//
//	 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7
//	+-+-+-+-+-------+-+-------------+-----------+----------+- - - - -
//	|F|R|R|R|opcode |M| length:     | 0, 16 or  | 0 or 32  | payload
//	|I|S|S|S|       |A| 0..125      | 64 bits   | bits of  |
//	|N|V|V|V|       |S| 126 → 16    | of length | mask     |
//	| |1|2|3|       |K| 127 → 64    |           |          |
//	+-+-+-+-+-------+-+-------------+-----------+----------+- - - - -
const (
	finBit     = 0x80
	rsv1Bit    = 0x40 // "compressed" on a message's first frame, RFC 7692 section 6
	rsvShift   = 4
	opcodeBits = 0x0f
	maskBit    = 0x80
	lengthBits = 0x7f
	length16   = 126
	length64   = 127

	rsv1 = rsv1Bit >> rsvShift // as in ws.Header.Rsv
)

// frameRules is what a frame header is judged against, apart from itself.
type frameRules struct {
	deflate      bool // permessage-deflate was negotiated
	open         bool // a fragmented message is open
	compressed   bool // and its first frame had RSV1
	fragments    int  // frames it has so far
	have         int  // payload bytes it has so far
	maxFragments int
	maxMessage   int // bytes of payload
	maxDeflated  int // bytes of compressed payload
}

// decodeHeader reads the header at the start of b. n is its length, 0 while
// b holds too little of it.
//
// Every rule is applied as soon as the bytes it needs are there and in the
// order of these bytes, so the verdict depends on the stream alone and not
// on the pieces it came in, and a frame that is too big is refused before a
// byte of it is buffered.
func decodeHeader(b []byte, rules *frameRules) (h ws.Header, n int, err error) {
	if len(b) < ws.MinHeaderSize {
		return h, 0, nil
	}
	h.Fin = b[0]&finBit != 0
	h.Rsv = b[0] >> rsvShift & 7
	h.OpCode = ws.OpCode(b[0] & opcodeBits)
	h.Masked = b[1]&maskBit != 0
	h.Length = int64(b[1] & lengthBits) // 126 and 127 are over the control limit too
	if err := checkHeader(h, rules); err != nil {
		return h, 0, err
	}

	n = ws.MinHeaderSize
	switch h.Length {
	case length16:
		if n += 2; len(b) < n {
			return h, 0, nil
		}
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
		if h.Length < length16 {
			return h, 0, errLengthNotMinimal
		}
	case length64:
		if n += 8; len(b) < n {
			return h, 0, nil
		}
		length := binary.BigEndian.Uint64(b[2:])
		switch {
		case length>>63 != 0:
			return h, 0, errLengthHighBit
		case length <= 0xffff:
			return h, 0, errLengthNotMinimal
		}
		h.Length = int64(length)
	}
	if err := checkSize(h, rules); err != nil {
		return h, 0, err
	}
	if n += len(h.Mask); len(b) < n {
		return h, 0, nil
	}
	copy(h.Mask[:], b[n-len(h.Mask):n])
	return h, n, nil
}

// checkHeader applies the rules that need the first two bytes only.
func checkHeader(h ws.Header, rules *frameRules) error {
	// RFC 7692 section 6.1: RSV1 belongs to the first frame of a data message,
	// and to nothing unless the extension was negotiated. What is left of the
	// RSV bits is for ws.CheckHeader, which must find none.
	if rules.deflate && h.Rsv&rsv1 != 0 {
		if h.OpCode.IsControl() || h.OpCode == ws.OpContinuation {
			return errCompressedBit
		}
		h.Rsv &^= rsv1
	}
	state := ws.StateServerSide
	if rules.open {
		state = state.Set(ws.StateFragmented)
	}
	// RFC 6455 sections 5.1 (mask), 5.2 (RSV, opcode), 5.4 (fragments), 5.5
	// (control frames).
	if err := ws.CheckHeader(h, state); err != nil {
		return &ProtocolError{CodeProtocolError, err.Error()}
	}
	return nil
}

// checkSize applies the limits of a data message, RFC 6455 section 10.4. A
// control frame has its own limit and is no part of the message.
func checkSize(h ws.Header, rules *frameRules) error {
	if h.OpCode.IsControl() {
		return nil
	}
	if rules.open && rules.fragments >= rules.maxFragments {
		return errTooManyFragments
	}
	limit := rules.maxMessage
	if rules.compressed || !rules.open && h.Rsv&rsv1 != 0 {
		limit = rules.maxDeflated
	}
	if h.Length > int64(limit-rules.have) {
		return errTooBig
	}
	return nil
}

// FrameSize returns the length of an unmasked frame with n bytes of payload.
func FrameSize(n int) int {
	switch {
	case n < length16:
		return 2 + n
	case n <= 0xffff:
		return 4 + n
	default:
		return 10 + n
	}
}

// AppendFrame appends one final, unmasked frame, as a server sends it, to
// dst. rsv1 marks a payload that was deflated. A control payload is at most
// ws.MaxControlFramePayloadSize bytes, which the caller has seen to. It copies
// payload and allocates once, to grow dst, or not at all. Safe from any goroutine.
func AppendFrame(dst []byte, op ws.OpCode, rsv1 bool, payload []byte) []byte {
	dst = slices.Grow(dst, FrameSize(len(payload)))
	dst = appendHeader(dst, op, rsv1, len(payload))
	return append(dst, payload...)
}

func appendHeader(dst []byte, op ws.OpCode, rsv1 bool, n int) []byte {
	first := finBit | byte(op)
	if rsv1 {
		first |= rsv1Bit
	}
	switch {
	case n < length16:
		return append(dst, first, byte(n))
	case n <= 0xffff:
		return append(dst, first, length16, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, length64), uint64(n))
	}
}
