package wsproto

import (
	"bytes"
	"compress/flate"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// deflated compresses with the standard library, an independent encoder, and
// takes off the tail of the flush (RFC 7692 section 7.2.1).
func deflated(message string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write([]byte(message)); err != nil {
		panic(err)
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// sampleJSON is n bytes of what devices send.
func sampleJSON(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"device":"dev%04d","seq":%d,"temp":%d.%d,"state":"ok","at":"2026-11-22T13:%02d:%02dZ"},`,
			i*7919%10000, i, 15+i*37%20, i*13%10, i/60%60, i%60)
	}
	return b.Bytes()[:n]
}

func TestInflate(t *testing.T) {
	final := wire("f348cdc9c9070000") // section 7.2.3.5: a block with BFINAL set, then 00
	for _, c := range []conversation{
		{
			rule: "7.2.3.1 one compressed block", events: []event{text("Hello")},
			stream: join(wire("1100.0001 1000.0111 00000000 f248cdc9c90700")),
		},
		{
			rule: "7.2.3.1 the same in two fragments, a ping between", events: []event{ping(""), text("Hello")},
			stream: join(wire("0100.0001 1000.0011 00000000 f248cd"), frame(0x89, ""), wire("1000.0000 1000.0100 00000000 c9c90700")),
		},
		{
			rule: "7.2.3.2 no shared window: the second message stands alone", events: []event{text("Hello"), text("Hello")},
			stream: join(frame(0xc1, deflated("Hello")), frame(0xc1, deflated("Hello"))),
		},
		{
			rule: "7.2.3.3 a block without compression", events: []event{text("Hello")},
			stream: join(wire("1100.0001 1000.1011 00000000 000500faff48656c6c6f00")),
		},
		{
			rule: "7.2.3.5 BFINAL", events: []event{text("Hello")},
			stream: frame(0xc1, string(final)),
		},
		{
			rule: "7.2.3.5 BFINAL, and more streams after it", events: []event{text("HelloHelloHello")},
			stream: frame(0xc1, string(final[:7])+string(final[:7])+string(final)),
		},
		{
			rule: "7.2.3.6 an empty message", events: []event{text("")},
			stream: frame(0xc1, "\x00"),
		},
		{
			rule: "7.2.2 no payload at all is not an empty message", code: 1007,
			stream: frame(0xc1, ""),
		},
		{
			rule: "6.1 a message without the bit is as it is", events: []event{text("Hello"), bin("\xf2")},
			stream: join(frame(0x81, "Hello"), frame(0x82, "\xf2")),
		},
		{
			rule: "a message as large as allowed", events: []event{bin(strings.Repeat("x", 500))}, cfg: DecoderConfig{MaxMessageSize: 500},
			stream: frame(0xc2, deflated(strings.Repeat("x", 500))),
		},
		{
			rule: "one byte more", code: 1009, cfg: DecoderConfig{MaxMessageSize: 500},
			stream: frame(0xc2, deflated(strings.Repeat("x", 501))),
		},
		{
			rule: "compressed size alone too big", code: 1009, at: 2, cfg: DecoderConfig{MaxMessageSize: 8},
			stream: frame(0xc2, strings.Repeat("x", 74)),
		},
		{
			rule: "incompressible, as large as allowed", events: []event{bin("\x01\x92\x33")}, cfg: DecoderConfig{MaxMessageSize: 3},
			stream: frame(0xc2, "\x00\x03\x00\xfc\xff\x01\x92\x33\x00"),
		},
		{
			rule: "garbage", code: 1007,
			stream: frame(0xc2, "\xff\xff\xff"),
		},
		{
			rule: "cut short: a dynamic block without its end", code: 1007,
			stream: frame(0xc2, deflated(string(sampleJSON(200)))[:40]),
		},
		{
			rule: "8.1 inflated text that is not UTF-8", code: 1007,
			stream: frame(0xc1, deflated("ab\xffcd")),
		},
		{
			rule: "8.1 compressed bytes need not be UTF-8", events: []event{text("\u00e4\u20ac")},
			stream: join(frame(0x41, deflated("\u00e4\u20ac")[:3]), frame(0x80, deflated("\u00e4\u20ac")[3:])),
		},
	} {
		c.deflate = true
		t.Run(c.rule, c.check)
	}
}

// 8 MiB of zeros are 8 KiB when deflated. The work and the memory stop at
// the message limit.
func TestInflateStopsAtTheLimit(t *testing.T) {
	bomb := frame(0xc2, deflated(strings.Repeat("\x00", 8<<20)))
	d := NewDecoder(DecoderConfig{})
	sink := &recorder{}
	allocated := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	before := allocated()
	_, err := d.Feed(nil, true, bomb, sink)
	if codeOf(t, err) != CodeTooBig || len(sink.events) != 0 {
		t.Fatalf("%v, %d events", err, len(sink.events))
	}
	if grown := allocated() - before; grown > 1<<20 {
		t.Errorf("allocated %d bytes on a bomb, want less than 1 MiB", grown)
	}
	if _, err := d.Feed(nil, true, frame(0xc1, deflated("fine")), sink); err != nil || len(sink.events) != 1 {
		t.Errorf("the next message: %v", err)
	}
}

// A final block of two bytes restarts the inflater: the worst that can be
// made of 64 KiB is still linear, and ends.
func TestInflateManyFinalBlocks(t *testing.T) {
	d := NewDecoder(DecoderConfig{})
	sink := &recorder{}
	_, err := d.Feed(nil, true, frame(0xc2, strings.Repeat("\x03\x00", 32<<10)+"\x00"), sink)
	if err != nil || len(sink.events) != 1 || sink.events[0].payload != "" {
		t.Fatalf("%v, %q", err, sink.events)
	}
}

func TestDeflaterAppendFrame(t *testing.T) {
	random := make([]byte, 1000)
	for i, x := 0, uint32(1); i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = byte(x >> 24)
	}
	for _, c := range []struct {
		name       string
		payload    []byte
		compressed bool
	}{
		{"below the threshold", bytes.Repeat([]byte("a"), 99), false},
		{"at the threshold", bytes.Repeat([]byte("a"), 100), true},
		{"incompressible", random, false},
		{"json", sampleJSON(4096), true},
		{"larger than a block", sampleJSON(300 << 10), true},
		{"empty", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := NewDeflater(DeflaterConfig{MinSize: 100}).AppendFrame([]byte("before"), ws.OpText, c.payload)
			f = bytes.TrimPrefix(f, []byte("before"))
			if got := f[0]&0x40 != 0; got != c.compressed {
				t.Errorf("compressed %v, want %v", got, c.compressed)
			}
			if limit := FrameSize(len(c.payload)); len(f) > limit {
				t.Errorf("frame of %d bytes, plain it has %d", len(f), limit)
			}
			if got := inflateFrame(t, f); !bytes.Equal(got, c.payload) {
				t.Errorf("inflates to %d bytes, want the %d that were sent", len(got), len(c.payload))
			}
		})
	}
}

// Loops and the tasks that encode for all of them share one Deflater.
func TestDeflaterIsSharedByGoroutines(t *testing.T) {
	z := NewDeflater(DeflaterConfig{MinSize: 1})
	var frames [4][50][]byte
	var wg sync.WaitGroup
	for g := range frames {
		wg.Go(func() {
			for i := range frames[g] {
				frames[g][i] = z.AppendFrame(nil, ws.OpText, sampleJSON(500+700*g))
			}
		})
	}
	wg.Wait()
	for g := range frames {
		for _, f := range frames[g] {
			if got := inflateFrame(t, f); !bytes.Equal(got, sampleJSON(500+700*g)) {
				t.Fatalf("goroutine %d: %d bytes came out as %d others", g, 500+700*g, len(got))
			}
		}
	}
}

// inflateFrame reads an unmasked frame with gobwas and the standard library.
func inflateFrame(t *testing.T, f []byte) []byte {
	t.Helper()
	h, payload := readFrame(t, f)
	if !h.Rsv1() {
		return payload
	}
	out, err := stdInflate(payload, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What a session costs while it is idle, after compressed messages went both
// ways: nothing.
func TestDeflateCostsNoIdleMemory(t *testing.T) {
	const sessions = 2000
	inbound := frame(0xc1, deflated(string(sampleJSON(2000))))
	d := NewDecoder(DecoderConfig{})
	z := NewDeflater(DeflaterConfig{})
	partials := make([]*Partial, sessions)
	var out []byte
	round := func() {
		for i := range partials {
			var err error
			sink := sinkFunc(func(op ws.OpCode, payload []byte) error {
				out = z.AppendFrame(out[:0], op, payload)
				return nil
			})
			if partials[i], err = d.Feed(partials[i], true, append([]byte(nil), inbound...), sink); err != nil {
				t.Fatal(err)
			}
		}
	}
	settled := func() int64 {
		runtime.GC()
		runtime.GC() // the second one drops what sync.Pool held on to
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	round()
	d.Trim()
	before := settled()
	round()
	d.Trim()
	perSession := float64(settled()-before) / sessions
	t.Logf("%.2f bytes per session", perSession)
	if perSession > 16 {
		t.Errorf("%.1f bytes per idle session, want none", perSession)
	}
	for i, p := range partials {
		if p != nil {
			t.Fatalf("session %d is not idle", i)
		}
	}
}

func TestGiantScratchIsNotKept(t *testing.T) {
	z := inflaters.New().(*inflater)
	z.input = make([]byte, maxKeptInput+1)
	z.free()
	if z.input != nil {
		t.Error("an inflater kept its input")
	}
	s := &scratch{bytes: make([]byte, 0, maxKeptOutput+1)}
	s.free()
	if s.bytes != nil {
		t.Error("a scratch kept its output")
	}
}

func TestDeflaterConfigValidate(t *testing.T) {
	if err := (DeflaterConfig{}).Validate(); err != nil {
		t.Error(err)
	}
	bad := DeflaterConfig{MinSize: -1}
	if err := bad.Validate(); err == nil {
		t.Error("a negative size is accepted")
	}
	defer func() {
		if recover() == nil {
			t.Error("NewDeflater took what Validate refuses")
		}
	}()
	NewDeflater(bad)
}
