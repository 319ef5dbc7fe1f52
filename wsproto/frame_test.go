package wsproto

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// gobwas reads what AppendFrame writes, at the edges of the length encodings.
func TestAppendFrame(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 70000} {
		for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary, ws.OpPing, ws.OpPong} {
			if op.IsControl() && n > ws.MaxControlFramePayloadSize {
				continue
			}
			for _, compressed := range []bool{false, true} {
				payload := bytes.Repeat([]byte("p"), n)
				out := AppendFrame([]byte("before"), op, compressed, payload)
				out, ok := bytes.CutPrefix(out, []byte("before"))
				if !ok {
					t.Fatal("dst is lost")
				}
				if len(out) != FrameSize(n) {
					t.Errorf("%d bytes: frame of %d, FrameSize says %d", n, len(out), FrameSize(n))
				}
				h, got := readFrame(t, out)
				want := ws.Header{Fin: true, Rsv: ws.Rsv(compressed, false, false), OpCode: op, Length: int64(n)}
				if h != want || !bytes.Equal(got, payload) {
					t.Errorf("%d bytes: %+v and %d bytes, want %+v", n, h, len(got), want)
				}
			}
		}
	}
	if out := AppendFrame(nil, ws.OpText, false, []byte("Hello")); !bytes.Equal(out, wire("1000.0001 0000.0101 48656c6c6f")) {
		t.Errorf("RFC 6455 section 5.7: %x", out)
	}
}

func TestAppendAllocates(t *testing.T) {
	dst, payload := make([]byte, 0, 100), []byte("payload")
	if n := testing.AllocsPerRun(100, func() { AppendFrame(dst, ws.OpText, false, payload) }); n != 0 {
		t.Errorf("AppendFrame with room: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { AppendFrame(nil, ws.OpText, false, payload) }); n != 1 {
		t.Errorf("AppendFrame without: %v allocations, want 1", n)
	}
	if n := testing.AllocsPerRun(100, func() { AppendClose(dst, 1012, "retry=100") }); n != 0 {
		t.Errorf("AppendClose: %v allocations", n)
	}
}

func TestAppendClose(t *testing.T) {
	long := strings.Repeat("x", 122) + "\u00fc"
	for _, c := range []struct {
		code   uint16
		reason string
		want   []byte
	}{
		{1000, "", wire("1000.1000 0000.0010 03e8")},
		{1012, "retry=250", wire("1000.1000 0000.1011 03f4 'retry=250'")},
		{4999, "x", wire("1000.1000 0000.0011 1387 'x'")},
		{0, "no code, no reason", wire("1000.1000 0000.0000")},
		{CodeNoStatus, "x", wire("1000.1000 0000.0000")},
		{1006, "ours", wire("1000.1000 0000.0110 03f3 'ours'")},
		{999, "", wire("1000.1000 0000.0010 03f3")},
		{5000, "", wire("1000.1000 0000.0010 03f3")},
		{1000, "\xff", wire("1000.1000 0000.0010 03e8")},
		{1000, strings.Repeat("x", 123), join(wire("1000.1000 0111.1101 03e8"), []byte(strings.Repeat("x", 123)))},
		{1000, strings.Repeat("x", 200), join(wire("1000.1000 0111.1101 03e8"), []byte(strings.Repeat("x", 123)))},
		{1000, long, join(wire("1000.1000 0111.1100 03e8"), []byte(long[:122]))}, // not within a character
	} {
		if got := AppendClose([]byte("before"), c.code, c.reason); !bytes.Equal(got, append([]byte("before"), c.want...)) {
			t.Errorf("AppendClose(%d, %.20q) = %x, want %x", c.code, c.reason, got, c.want)
		}
	}
}

func TestParseClose(t *testing.T) {
	for _, c := range []struct {
		payload string
		code    uint16
		reason  string
		err     error
	}{
		{"", CodeNoStatus, "", nil},
		{"\x03", 0, "", errCloseLength},
		{"\x03\xe8", 1000, "", nil},
		{"\x03\xf4retry", 1012, "retry", nil},
		{"\x03\xe8\xc3", 0, "", errCloseReason},
		{"\x03\xed", 0, "", errCloseCode}, // 1005
		{"\x00\x00", 0, "", errCloseCode},
		{"\x07\xd0", 0, "", errCloseCode}, // 2000
		{"\x13\x88", 0, "", errCloseCode}, // 5000
	} {
		code, reason, err := ParseClose([]byte(c.payload))
		if code != c.code || string(reason) != c.reason || err != c.err {
			t.Errorf("ParseClose(%x) = %d, %q, %v", c.payload, code, reason, err)
		}
	}
}

// Every reason of ours can itself be sent in a close frame.
func TestProtocolErrorsFitACloseFrame(t *testing.T) {
	for _, e := range []*ProtocolError{
		errLengthNotMinimal, errLengthHighBit, errCompressedBit, errCloseLength, errCloseCode,
		errCloseReason, errText, errDeflate, errTooBig, errTooManyFragments,
	} {
		code, reason, err := ParseClose(AppendClose(nil, e.Code, e.Reason)[2:])
		if err != nil || code != e.Code || string(reason) != e.Reason {
			t.Errorf("%v is sent as %d %q, %v", e, code, reason, err)
		}
		if got, want := e.Error(), fmt.Sprintf("websocket: close %d: %s", code, reason); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// validPrefix says yes exactly where some continuation is valid: checked for
// all one- and two-byte inputs, and longer ones of the octets at which the
// table of RFC 3629 section 4 changes.
func TestValidPrefixIsExact(t *testing.T) {
	edges := []byte{'a', 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5}
	var canContinue func(b []byte, more int) bool
	canContinue = func(b []byte, more int) bool {
		if utf8.Valid(b) {
			return true
		}
		for _, c := range []byte{0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf} {
			if more > 0 && canContinue(append(b[:len(b):len(b)], c), more-1) {
				return true
			}
		}
		return false
	}
	check := func(b ...byte) {
		n, ok := validPrefix(b)
		if want := canContinue(b, 3); ok != want {
			t.Fatalf("validPrefix(%x) = %d, %v; want %v", b, n, ok, want)
		}
		if ok && (!utf8.Valid(b[:n]) || len(b)-n > 3 || n < len(b) && utf8.FullRune(b[n:])) {
			t.Fatalf("validPrefix(%x) = %d", b, n)
		}
	}
	check()
	for a := range 256 {
		check(byte(a))
		for b := range 256 {
			check(byte(a), byte(b))
		}
	}
	for _, a := range edges {
		for _, b := range edges {
			for _, c := range edges {
				check(a, b, c)
				if a >= 0xe0 {
					check(a, b, c, 0x80)
					check(a, b, c, 'a')
				}
			}
		}
	}
}
