package wsproto

import (
	"reflect"
	"slices"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// drawMessage adds the frames of a valid message to stream, and what a sink
// should get to want.
func drawMessage(t *rapid.T, stream []byte, want []event) ([]byte, []event) {
	mask := func() [4]byte { return [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "mask")) }
	control := func() {
		op := rapid.SampledFrom([]byte{0x9, 0xa}).Draw(t, "control")
		payload := string(rapid.SliceOfN(rapid.Byte(), 0, 125).Draw(t, "control payload"))
		stream = append(stream, frameWith(0x80|op, payload, mask())...)
		want = append(want, pong(payload))
		if op == 0x9 {
			want[len(want)-1] = ping(payload)
		}
	}
	var whole event
	if rapid.Bool().Draw(t, "text") {
		whole = text(rapid.StringN(0, 200, 600).Draw(t, "message"))
	} else {
		whole = bin(string(rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "message")))
	}
	payload, first := whole.payload, byte(whole.op)
	if rapid.Bool().Draw(t, "compressed") {
		payload, first = deflated(payload), first|0x40
	}
	at := rapid.SliceOfN(rapid.IntRange(0, len(payload)), 0, 4).Draw(t, "fragments")
	slices.Sort(at)
	from := 0
	for _, to := range at {
		stream = append(stream, frameWith(first, payload[from:to], mask())...)
		first, from = 0, to
		if rapid.Bool().Draw(t, "interleave") {
			control()
		}
	}
	stream = append(stream, frameWith(0x80|first, payload[from:], mask())...)
	return stream, append(want, whole)
}

func drawCuts(t *rapid.T, n int) []int {
	at := rapid.SliceOfN(rapid.IntRange(0, n), 0, 12).Draw(t, "cuts")
	slices.Sort(at)
	return at
}

// What valid messages say arrives, however they are framed, masked,
// fragmented, compressed, interleaved with control frames and cut.
func TestAnySplitOfValidMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want []event
		for range rapid.IntRange(1, 4).Draw(t, "messages") {
			stream, want = drawMessage(t, stream, want)
		}
		got := decode(DecoderConfig{}, true, stream, drawCuts(t, len(stream))...)
		if got.err != nil || got.open || !reflect.DeepEqual(got.events, want) {
			t.Fatalf("%q, %v, unfinished %v; want %q", got.events, got.err, got.open, want)
		}
	})
}

// Damaged streams meet the same fate however they are cut.
func TestAnySplitOfDamagedMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		for range rapid.IntRange(1, 3).Draw(t, "messages") {
			stream, _ = drawMessage(t, stream, nil)
		}
		for range rapid.IntRange(1, 3).Draw(t, "damages") {
			at := rapid.IntRange(0, len(stream)-1).Draw(t, "at")
			stream[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		cfg := DecoderConfig{MaxMessageSize: 400, MaxFragments: 4}
		deflate := rapid.Bool().Draw(t, "deflate")
		whole := decode(cfg, deflate, stream)
		split := decode(cfg, deflate, stream, drawCuts(t, len(stream))...)
		sameFate(t, whole, split)
	})
}

// sameFate compares what two ways to cut one stream came to.
func sameFate(t interface {
	Helper()
	Fatalf(string, ...any)
}, whole, split outcome) {
	t.Helper()
	if !reflect.DeepEqual(whole.events, split.events) {
		t.Fatalf("events %q, cut %q", whole.events, split.events)
	}
	if !reflect.DeepEqual(whole.err, split.err) {
		t.Fatalf("%v, cut %v", whole.err, split.err)
	}
	if whole.open != split.open {
		t.Fatalf("unfinished %v, cut %v", whole.open, split.open)
	}
}

// Text is refused at the very byte after which nothing can make it UTF-8.
func TestTextFailsFast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.SampledFrom([]byte{'a', 0xc3, 0xa4, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x90, 0x8c, 0xed, 0xf4}), 1, 12).Draw(t, "text")
		stream := frame(0x81, string(raw))
		ways := cuts(len(stream))
		got := decode(DecoderConfig{}, false, stream, ways[len(ways)-1]...)
		if utf8.Valid(raw) != (got.err == nil) {
			t.Fatalf("%x: %v", raw, got.err)
		}
		if got.err == nil {
			return
		}
		seen := got.fed - (len(stream) - len(raw))
		if _, ok := validPrefix(raw[:seen-1]); !ok {
			t.Fatalf("%x: refused after %d bytes, one byte late", raw, seen)
		}
	})
}
