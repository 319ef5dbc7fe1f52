package wsproto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// event is what a Sink was given.
type event struct {
	op      ws.OpCode
	payload string
}

func text(s string) event { return event{ws.OpText, s} }
func bin(s string) event  { return event{ws.OpBinary, s} }
func ping(s string) event { return event{ws.OpPing, s} }
func pong(s string) event { return event{ws.OpPong, s} }
func closing(s string) event {
	return event{ws.OpClose, s}
}

// recorder is a Sink that copies everything, and spoils what it borrowed:
// whoever relied on it afterwards would show.
type recorder struct {
	events []event
	fail   error
}

func (r *recorder) Message(op ws.OpCode, payload []byte) error {
	r.events = append(r.events, event{op, string(payload)})
	for i := range payload {
		payload[i] = 0xaa
	}
	return r.fail
}

func (r *recorder) Control(op ws.OpCode, payload []byte) error { return r.Message(op, payload) }

// wire makes a stream of octets as a diagram writes them: eight binary digits
// with a dot in the middle, bytes in hex, or text in quotes.
func wire(parts ...string) []byte {
	var out []byte
	for _, part := range strings.Fields(strings.Join(parts, " ")) {
		switch {
		case len(part) == 9 && part[4] == '.':
			octet, err := strconv.ParseUint(part[:4]+part[5:], 2, 8)
			if err != nil {
				panic(part)
			}
			out = append(out, byte(octet))
		case part[0] == '\'':
			out = append(out, strings.Trim(part, "'")...)
		default:
			raw, err := hex.DecodeString(part)
			if err != nil {
				panic(part)
			}
			out = append(out, raw...)
		}
	}
	return out
}

// frame is one client frame, built by gobwas. first is the first octet.
func frame(first byte, payload string) []byte {
	return frameWith(first, payload, [4]byte{0x37, 0xfa, 0x21, 0x3d})
}

func frameWith(first byte, payload string, mask [4]byte) []byte {
	f := ws.MaskFrameInPlaceWith(ws.Frame{
		Header: ws.Header{
			Fin: first&0x80 != 0, Rsv: first >> 4 & 7, OpCode: ws.OpCode(first & 15), Length: int64(len(payload)),
		},
		Payload: []byte(payload),
	}, mask)
	var b bytes.Buffer
	ws.MustWriteFrame(&b, f)
	return b.Bytes()
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// outcome is all that a peer can learn of a decoder.
type outcome struct {
	events []event
	err    error
	open   bool // something is unfinished
	fed    int  // bytes until the error
}

// decode feeds stream, cut into pieces at the given offsets, to a fresh
// decoder.
func decode(cfg DecoderConfig, deflate bool, stream []byte, cuts ...int) outcome {
	d := NewDecoder(cfg)
	sink := &recorder{}
	var p *Partial
	var err error
	from := 0
	for _, to := range append(cuts, len(stream)) {
		piece := bytes.Clone(stream[from:to])
		from = to
		if p, err = d.Feed(p, deflate, piece, sink); err != nil {
			break
		}
		// The buffer of an event loop is used again for the next socket.
		for i := range piece {
			piece[i] = 0x55
		}
		if n := len(sink.events); n > 0 && sink.events[n-1].op == ws.OpClose {
			break
		}
	}
	return outcome{sink.events, err, p != nil, from}
}

// cuts are the ways to cut a stream that every decoder test goes through: not
// at all, once at every place, and after every byte.
func cuts(n int) [][]int {
	ways := [][]int{nil}
	var everywhere []int
	for i := 1; i < n; i++ {
		ways = append(ways, []int{i})
		everywhere = append(everywhere, i)
	}
	return append(ways, everywhere)
}

func codeOf(t *testing.T, err error) uint16 {
	t.Helper()
	var refused *ProtocolError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v is not a *ProtocolError", err)
	}
	return refused.Code
}

// readFrame reads the one frame that raw has to be, with gobwas.
func readFrame(t *testing.T, raw []byte) (ws.Header, []byte) {
	t.Helper()
	r := bytes.NewReader(raw)
	h, err := ws.ReadHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	if int64(r.Len()) != h.Length {
		t.Fatalf("%d bytes of payload, the header says %d", r.Len(), h.Length)
	}
	return h, raw[len(raw)-r.Len():]
}
