package wsproto

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// A conversation is what a client sends and what becomes of it, whatever the
// pieces it comes in. Keys are 00000000 where they are not the point, so that
// payloads can be read.
type conversation struct {
	rule    string
	stream  []byte
	deflate bool
	cfg     DecoderConfig
	events  []event
	code    uint16 // of the refusal, 0 if there is none
	at      int    // bytes after which it is certain, fed one by one
	open    bool   // something is unfinished at the end
}

func (c conversation) check(t *testing.T) {
	t.Helper()
	for _, way := range cuts(len(c.stream)) {
		got := decode(c.cfg, c.deflate, c.stream, way...)
		if !reflect.DeepEqual(got.events, c.events) {
			t.Fatalf("cut at %v: events %q, want %q", way, got.events, c.events)
		}
		if got.open != c.open {
			t.Fatalf("cut at %v: unfinished %v, want %v", way, got.open, c.open)
		}
		switch {
		case c.code == 0 && got.err != nil:
			t.Fatalf("cut at %v: %v", way, got.err)
		case c.code != 0 && got.err == nil:
			t.Fatalf("cut at %v: accepted, want %d", way, c.code)
		case c.code != 0 && codeOf(t, got.err) != c.code:
			t.Fatalf("cut at %v: %v, want %d", way, got.err, c.code)
		case c.at != 0 && len(way) == len(c.stream)-1 && got.fed != c.at:
			t.Fatalf("refused after %d bytes, want %d", got.fed, c.at)
		}
	}
}

func TestDecodeAccepts(t *testing.T) {
	for _, c := range []conversation{
		{
			rule: "5.7 a masked text message", events: []event{text("Hello")},
			stream: wire("1000.0001 1000.0101 37fa213d 7f9f4d5158"),
		},
		{
			rule: "5.6 binary, any bytes", events: []event{bin("\xff\x00\xc0")},
			stream: wire("1000.0010 1000.0011 00000000 ff00c0"),
		},
		{
			rule: "5.2 an empty message", events: []event{text(""), bin("")},
			stream: wire("1000.0001 1000.0000 37fa213d 1000.0010 1000.0000 37fa213d"),
		},
		{
			rule: "5.4 three fragments", events: []event{text("Hello")},
			stream: join(frame(0x01, "He"), frame(0x00, "l"), frame(0x80, "lo")),
		},
		{
			rule: "5.4 empty fragments", events: []event{bin("x"), text("")},
			stream: join(frame(0x02, ""), frame(0x00, "x"), frame(0x80, ""), frame(0x01, ""), frame(0x80, "")),
		},
		{
			rule: "5.4 control frames between fragments, 5.5.2", events: []event{ping("a"), pong("bc"), ping(""), text("Hello")},
			stream: join(frame(0x01, "Hel"), frame(0x89, "a"), frame(0x8a, "bc"), frame(0x00, "l"), frame(0x89, ""), frame(0x80, "o")),
		},
		{
			rule: "5.5 control frames of 125 bytes", events: []event{ping(strings.Repeat("p", 125)), pong(strings.Repeat("q", 125))},
			stream: join(frame(0x89, strings.Repeat("p", 125)), frame(0x8a, strings.Repeat("q", 125))),
		},
		{
			rule: "5.2 lengths at the edges of their encodings",
			events: []event{
				bin(strings.Repeat("a", 125)), bin(strings.Repeat("b", 126)), bin(strings.Repeat("c", 127)),
			},
			stream: join(frame(0x82, strings.Repeat("a", 125)), frame(0x82, strings.Repeat("b", 126)), frame(0x82, strings.Repeat("c", 127))),
		},
		{
			rule: "5.5.1 close without a code", events: []event{closing("")},
			stream: wire("1000.1000 1000.0000 37fa213d"),
		},
		{
			rule: "5.5.1 close with code and reason; nothing after it", events: []event{closing("\x03\xe8bye")},
			stream: join(frame(0x88, "\x03\xe8bye"), frame(0x81, "late"), wire("ffff")),
		},
		{
			rule: "5.5.1 close within a fragmented message", events: []event{closing("\x03\xe9")},
			stream: join(frame(0x01, "abc"), frame(0x88, "\x03\xe9")),
		},
		{
			rule: "8.1 a character over three fragments", events: []event{ping(""), text("a\U0001f40cz")},
			stream: join(frame(0x01, "a\xf0"), frame(0x89, ""), frame(0x00, "\x9f\x90"), frame(0x80, "\x8cz")),
		},
		{
			rule: "an unfinished header", open: true,
			stream: wire("1000.0001 1111.1110 00"),
		},
		{
			rule: "an unfinished payload", events: []event{ping("")}, open: true,
			stream: join(frame(0x89, ""), wire("1000.0001 1000.0011 00000000 'ab'")),
		},
		{
			rule: "an unfinished message between frames", open: true,
			stream: frame(0x01, "abc"),
		},
		{
			rule: "an unfinished control frame within a message", open: true,
			stream: join(frame(0x01, "abc"), wire("1000.1001 1000.0011 00000000 'ab'")),
		},
		{
			rule: "a limit of one byte", events: []event{text("x"), text("")}, cfg: DecoderConfig{MaxMessageSize: 1},
			stream: join(frame(0x81, "x"), frame(0x81, "")),
		},
		{
			rule: "5.4 control frames are no part of the message they interrupt", events: []event{ping("xyz"), pong(""), text("abcd")},
			cfg:    DecoderConfig{MaxMessageSize: 4, MaxFragments: 2},
			stream: join(frame(0x01, "abcd"), frame(0x89, "xyz"), frame(0x8a, ""), frame(0x80, "")),
		},
		{
			rule: "as many fragments as allowed", events: []event{text("abc"), text("abc")}, cfg: DecoderConfig{MaxFragments: 3},
			stream: join(frame(0x01, "a"), frame(0x00, "b"), frame(0x80, "c"), frame(0x01, "a"), frame(0x00, "b"), frame(0x80, "c")),
		},
	} {
		t.Run(c.rule, c.check)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []conversation{
		{
			rule: "5.1 not masked", code: 1002, at: 2,
			stream: wire("1000.0001 0000.0101 48656c6c6f"),
		},
		{
			rule: "5.2 RSV1 without an extension", code: 1002, at: 2,
			stream: wire("1100.0001 1000.0000 00000000"),
		},
		{
			rule: "5.2 RSV2", code: 1002, at: 2, deflate: true,
			stream: wire("1010.0001 1000.0000 00000000"),
		},
		{
			rule: "5.2 RSV3", code: 1002, at: 2, deflate: true,
			stream: wire("1001.0001 1000.0000 00000000"),
		},
		{
			rule: "5.2 RSV1 and RSV3", code: 1002, at: 2, deflate: true,
			stream: wire("1101.0001 1000.0000 00000000"),
		},
		{
			rule: "7692 6.1 RSV1 on a control frame", code: 1002, at: 2, deflate: true,
			stream: wire("1100.1001 1000.0000 00000000"),
		},
		{
			rule: "7692 6.1 RSV1 on a continuation", code: 1002, at: 7 + 2, deflate: true,
			stream: join(frame(0x01, "a"), wire("1100.0000 1000.0001 00000000 61")),
		},
		{
			rule: "5.4 a continuation of nothing", code: 1002, at: 2,
			stream: wire("1000.0000 1000.0000 00000000"),
		},
		{
			rule: "5.4 a continuation after the last fragment", code: 1002, at: 7 + 7 + 2, events: []event{text("ab")},
			stream: join(frame(0x01, "a"), frame(0x80, "b"), frame(0x80, "c")),
		},
		{
			rule: "5.4 a message within a message", code: 1002, at: 7 + 2,
			stream: join(frame(0x01, "a"), frame(0x81, "b")),
		},
		{
			rule: "5.5 a control frame of 126 bytes", code: 1002, at: 2,
			stream: wire("1000.1001 1111.1110 007e 00000000"),
		},
		{
			rule: "5.5 a control frame with a 64-bit length", code: 1002, at: 2,
			stream: wire("1000.1010 1111.1111 0000000000000001 00000000"),
		},
		{
			rule: "5.5 a fragmented ping", code: 1002, at: 2,
			stream: wire("0000.1001 1000.0001 00000000 61"),
		},
		{
			rule: "5.5 a fragmented close", code: 1002, at: 2,
			stream: wire("0000.1000 1000.0010 00000000 03e8"),
		},
		{
			rule: "5.2 125 in 16 bits", code: 1002, at: 4,
			stream: wire("1000.0001 1111.1110 007d 00000000"),
		},
		{
			rule: "5.2 65535 in 64 bits", code: 1002, at: 10,
			stream: wire("1000.0010 1111.1111 000000000000ffff 00000000"),
		},
		{
			rule: "5.2 high bit of the length", code: 1002, at: 10,
			stream: wire("1000.0010 1111.1111 8000000000010000 00000000"),
		},
		{
			rule: "10.4 too big, by the header alone", code: 1009, at: 10,
			stream: wire("1000.0010 1111.1111 0000000000010001 00000000"),
		},
		{
			rule: "10.4 the largest length there is", code: 1009, at: 10,
			stream: wire("1000.0010 1111.1111 7fffffffffffffff 00000000"),
		},
		{
			rule: "10.4 too big in sum, by the header alone", code: 1009, at: 6 + 4 + 2, cfg: DecoderConfig{MaxMessageSize: 7},
			stream: join(frame(0x02, "abcd"), frame(0x80, "efgh")),
		},
		{
			rule: "10.4 too many fragments", code: 1009, at: 7 + 7 + 2, cfg: DecoderConfig{MaxFragments: 2},
			stream: join(frame(0x02, "a"), frame(0x00, "b"), frame(0x80, "c")),
		},
		{
			rule: "10.4 empty fragments count", code: 1009, at: 6 + 6 + 2, cfg: DecoderConfig{MaxFragments: 2},
			stream: join(frame(0x02, ""), frame(0x00, ""), frame(0x80, "")),
		},
		{
			rule: "5.5.1 a close payload of one byte", code: 1002, at: 7,
			stream: wire("1000.1000 1000.0001 00000000 03"),
		},
		{
			rule: "8.1 a close reason that is not UTF-8", code: 1007, at: 9,
			stream: wire("1000.1000 1000.0011 00000000 03e8ff"),
		},
		{
			rule: "8.1 text that is not UTF-8, at its first byte", code: 1007, at: 7,
			stream: wire("1000.0001 1000.0100 00000000 ff616263"),
		},
		{
			rule: "8.1 text cut within a character", code: 1007, at: 8,
			stream: wire("1000.0001 1000.0010 00000000 c3 c3"),
		},
		{
			rule: "8.1 text that ends within a character, in an empty last fragment", code: 1007, at: 8 + 6,
			stream: join(frame(0x01, "\xe2\x82"), frame(0x80, "")),
		},
		{
			rule: "8.1 a bad character over two fragments", code: 1007, at: 7 + 7, events: nil,
			stream: join(frame(0x01, "\xed"), frame(0x80, "\xa0\x80")),
		},
	} {
		t.Run(c.rule, c.check)
	}
	for op := byte(0); op < 16; op++ {
		if ws.OpCode(op).IsReserved() {
			c := conversation{code: 1002, at: 2, stream: []byte{0x80 | op, 0x80, 0, 0, 0, 0}}
			t.Run(fmt.Sprintf("5.2 reserved opcode %X", op), c.check)
		}
	}
}

func TestDecodeCloseCodes(t *testing.T) {
	// RFC 6455 section 7.4 and the IANA registry.
	allowed := func(code int) bool {
		switch {
		case code >= 3000 && code <= 4999:
			return true
		case code >= 1000 && code <= 1014:
			return code != 1004 && code != 1005 && code != 1006
		default:
			return false
		}
	}
	d := NewDecoder(DecoderConfig{})
	for code := range 1 << 16 {
		sink := &recorder{}
		_, err := d.Feed(nil, false, frame(0x88, string([]byte{byte(code >> 8), byte(code)})), sink)
		switch {
		case allowed(code) && (err != nil || len(sink.events) != 1):
			t.Fatalf("code %d: %v", code, err)
		case !allowed(code) && (len(sink.events) != 0 || codeOf(t, err) != CodeProtocolError):
			t.Fatalf("code %d was delivered: %v", code, err)
		}
	}
}

// Section 5.3: octet i of the payload meets octet i modulo 4 of the key, in
// whatever pieces it comes and wherever it lies in memory.
func TestUnmaskingFollowsThePayload(t *testing.T) {
	payload := strings.Repeat("0123456789abcdefghijk", 3)
	stream := frameWith(0x82, payload, [4]byte{1, 20, 140, 250})
	for first := 1; first < len(stream); first++ {
		for second := first + 1; second < len(stream); second++ {
			got := decode(DecoderConfig{}, false, stream, first, second)
			if len(got.events) != 1 || got.events[0].payload != payload {
				t.Fatalf("cut at %d and %d: %q", first, second, got.events)
			}
		}
	}
}

func TestWholeFrameIsDeliveredWhereItLies(t *testing.T) {
	d := NewDecoder(DecoderConfig{})
	stream := frame(0x81, "Hello")
	if _, err := d.Feed(nil, false, stream, sinkFunc(func(_ ws.OpCode, payload []byte) error {
		if &payload[0] != &stream[6] {
			t.Error("the payload was copied")
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
}

type sinkFunc func(op ws.OpCode, payload []byte) error

func (f sinkFunc) Message(op ws.OpCode, payload []byte) error { return f(op, payload) }
func (f sinkFunc) Control(op ws.OpCode, payload []byte) error { return f(op, payload) }

// An error of the sink ends the stream there, and comes out unchanged.
func TestSinkErrorStopsFeed(t *testing.T) {
	enough := errors.New("enough")
	streams := map[string][]byte{
		"whole":      join(frame(0x81, "one"), frame(0x81, "two")),
		"fragmented": join(frame(0x01, "o"), frame(0x80, "ne"), frame(0x81, "two")),
		"ping":       join(frame(0x89, "one"), frame(0x81, "two")),
		"in message": join(frame(0x01, "o"), frame(0x89, "one"), frame(0x81, "two")),
		"deflated":   join(frame(0xc1, deflated("one")), frame(0x81, "two")),
	}
	for name, stream := range streams {
		for _, way := range cuts(len(stream)) {
			d := NewDecoder(DecoderConfig{})
			sink := &recorder{fail: enough}
			var p *Partial
			var err error
			from := 0
			for _, to := range append(way, len(stream)) {
				if p, err = d.Feed(p, true, append([]byte(nil), stream[from:to]...), sink); err != nil {
					break
				}
				from = to
			}
			if err != enough || p != nil || len(sink.events) != 1 || sink.events[0].payload != "one" {
				t.Fatalf("%s cut at %v: %v, %v, %q", name, way, p, err, sink.events)
			}
		}
	}
}

func TestDecoderConfigValidate(t *testing.T) {
	if err := (DecoderConfig{}).Validate(); err != nil {
		t.Error(err)
	}
	bad := DecoderConfig{MaxMessageSize: MaxMessageSizeCeiling + 1, MaxFragments: -1, RetainBytes: -1}
	if err := bad.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three faults, got %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("NewDecoder took what Validate refuses")
		}
	}()
	NewDecoder(bad)
}
