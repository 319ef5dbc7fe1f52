package wsproto

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// What is not finished costs what has arrived of it, not what it will be.
func TestPartialCostsWhatHasArrived(t *testing.T) {
	if partialSize != 64 {
		t.Errorf("a Partial has %d bytes, want 64: fields were added or reordered", partialSize)
	}
	for _, c := range []struct {
		name   string
		stream []byte
		most   int
	}{
		{"three bytes of a header", wire("1000.0010 1111.1110 ff"), 64},
		{"a whole header of 64 KiB", wire("1000.0010 1111.1110 ffff 00000000"), 64},
		{"and one byte of it", wire("1000.0010 1111.1110 ffff 00000000 61"), 64 + 32},
		{"two bytes of a ping", wire("1000.1001 1000.0011 00000000 6162"), 64 + 32},
		{"a first fragment of 100 bytes", frame(0x02, strings.Repeat("x", 100)), 64 + 128},
		{"1,000 bytes of 64 KiB", join(wire("1000.0010 1111.1110 ffff 00000000"), make([]byte, 1000)), 64 + 1024},
	} {
		d := NewDecoder(DecoderConfig{})
		p, err := d.Feed(nil, false, c.stream, &recorder{})
		if err != nil || p == nil {
			t.Fatalf("%s: %v, %v", c.name, p, err)
		}
		if got := p.Buffered(); got > c.most {
			t.Errorf("%s: %d bytes, want %d at most", c.name, got, c.most)
		}
	}
	if got := (*Partial)(nil).Buffered(); got != 0 {
		t.Errorf("nothing unfinished: %d bytes", got)
	}
}

// A message that comes byte by byte is moved a dozen times, and no byte of it
// is checked for UTF-8 more than four times: the work is linear.
func TestPiecesDoNotMakeWorkQuadratic(t *testing.T) {
	payload := strings.Repeat("gr\u00fc\u00df \U0001f40c ", DefaultMaxMessageSize/12)
	stream := frame(0x81, payload)
	d := NewDecoder(DecoderConfig{})
	sink := &recorder{}
	var p *Partial
	var err error
	moves, last := 0, (*byte)(nil)
	for i := range stream {
		if p, err = d.Feed(p, false, stream[i:i+1], sink); err != nil {
			t.Fatal(err)
		}
		if p == nil || len(p.buf) == 0 {
			continue
		}
		if unchecked := len(p.buf) - int(p.valid); unchecked > 3 {
			t.Fatalf("after byte %d, %d bytes are still to be checked", i, unchecked)
		}
		if first := &p.buf[:1][0]; first != last {
			moves, last = moves+1, first
		}
	}
	if len(sink.events) != 1 || sink.events[0].payload != payload {
		t.Fatal("the message did not arrive")
	}
	if moves > 12 { // 32 B, 64 B, ... 64 KiB
		t.Errorf("the message was moved %d times", moves)
	}
}

// 100,000 fragments of one byte: refused at the limit, memory bounded.
func TestManyFragmentsAreBounded(t *testing.T) {
	d := NewDecoder(DecoderConfig{})
	p, err := d.Feed(nil, false, frame(0x02, "x"), &recorder{})
	fragment := frame(0x00, "x")
	n := 1
	for ; err == nil && n < 100_000; n++ {
		p, err = d.Feed(p, false, bytes.Clone(fragment), &recorder{})
		if p.Buffered() > 64+2*DefaultMaxFragments {
			t.Fatalf("%d bytes after %d fragments", p.Buffered(), n)
		}
	}
	if n != DefaultMaxFragments+1 || codeOf(t, err) != CodeTooBig || p != nil {
		t.Errorf("after %d fragments: %v", n, err)
	}
}

func TestBuffersAreGivenBack(t *testing.T) {
	const size = 60_000
	cfg := DecoderConfig{MaxMessageSize: 4 << 20, RetainBytes: 128 << 10}
	d := NewDecoder(cfg)
	half := func(payload string) (*Partial, []byte) {
		stream := frame(0x82, payload)
		p, err := d.Feed(nil, false, stream[:len(stream)/2], &recorder{})
		if err != nil {
			t.Fatal(err)
		}
		return p, stream[len(stream)/2:]
	}
	var open []*Partial
	var rest [][]byte
	for range 10 {
		p, r := half(strings.Repeat("x", size))
		open, rest = append(open, p), append(rest, r)
	}
	for i := range open {
		if p, err := d.Feed(open[i], false, rest[i], &recorder{}); p != nil || err != nil {
			t.Fatal(p, err)
		}
	}
	if kept := d.buffers.kept; kept == 0 || kept > cfg.RetainBytes {
		t.Errorf("%d bytes kept, want some and %d at most", kept, cfg.RetainBytes)
	}
	if len(d.partials) != 10 {
		t.Errorf("%d of 10 partials came back", len(d.partials))
	}

	d.Trim()
	p, r := half(strings.Repeat("x", 3<<20)) // larger than any class
	if p, err := d.Feed(p, false, r, &recorder{}); p != nil || err != nil {
		t.Fatal(p, err)
	}
	if kept := d.buffers.kept; kept != 0 {
		t.Errorf("%d bytes of a giant buffer were kept", kept)
	}

	p, _ = half("an abandoned message of some length")
	d.Release(p)
	d.Release(nil)
	if d.buffers.kept == 0 || len(d.partials) == 0 {
		t.Error("Release gave nothing back")
	}
	d.Trim()
	if d.buffers.kept != 0 || d.partials != nil {
		t.Error("Trim kept something")
	}
}

// A pooled Partial and its buffer carry nothing from one session to the next.
func TestPartialIsCleanWhenReused(t *testing.T) {
	d := NewDecoder(DecoderConfig{})
	leave := [][]byte{
		frame(0x41, deflated("abc")),            // compressed, open
		frame(0x01, "\xe2\x82"),                 // text within a character
		wire("1000.1001 1000.0111 ffffffff 00"), // a ping, one byte of it
	}
	for _, stream := range leave {
		p, err := d.Feed(nil, true, stream, &recorder{})
		if err != nil || p == nil {
			t.Fatal(p, err)
		}
		d.Release(p)
		sink := &recorder{}
		next := join(frame(0x02, "ab"), frame(0x80, "c"))
		if p, err = d.Feed(nil, true, next[:3], sink); err != nil {
			t.Fatal(err)
		}
		if p, err = d.Feed(p, true, next[3:], sink); err != nil || p != nil || len(sink.events) != 1 || sink.events[0] != bin("abc") {
			t.Errorf("after %x: %v, %v, %q", stream, p, err, sink.events)
		}
	}
}

func TestPoolClasses(t *testing.T) {
	for _, c := range []struct{ n, class, size int }{
		{0, 0, 32}, {1, 0, 32}, {32, 0, 32}, {33, 1, 64}, {64, 1, 64}, {65, 2, 128},
		{64 << 10, 11, 64 << 10}, {64<<10 + 1, -1, 128 << 10},
	} {
		if class, size := classOf(c.n); class != c.class || size != c.size {
			t.Errorf("classOf(%d) = %d, %d; want %d, %d", c.n, class, size, c.class, c.size)
		}
	}
	p := bufferPool{limit: 100}
	b := append(p.get(60), "x"...)
	p.put(b)
	if got := p.get(33); cap(got) != 64 || len(got) != 0 || &got[:1][0] != &b[0] || p.kept != 0 {
		t.Error("a buffer of the class was not used again")
	}
	p.put(make([]byte, 0, 64))
	p.put(make([]byte, 0, 64)) // beyond the limit
	p.put(make([]byte, 0, 33)) // of no class
	p.put(nil)
	if p.kept != 64 {
		t.Errorf("%d bytes kept, want 64", p.kept)
	}
}

// Nothing is allocated per message, in steady state.
func TestReceivingAllocatesNothing(t *testing.T) {
	nothing := sinkFunc(func(ws.OpCode, []byte) error { return nil })
	for name, stream := range map[string][]byte{
		"text":       frame(0x81, strings.Repeat("t", 64)),
		"binary":     frame(0x82, strings.Repeat("b", 1000)),
		"ping":       frame(0x89, "ping"),
		"close":      frame(0x88, "\x03\xe8bye"),
		"fragmented": join(frame(0x01, "frag"), frame(0x89, ""), frame(0x80, "ments")),
		"several":    join(frame(0x81, "one"), frame(0x81, "two"), frame(0x8a, "")),
	} {
		for _, pieces := range []int{1, 2, len(stream)} {
			d := NewDecoder(DecoderConfig{})
			buf := make([]byte, len(stream))
			run := func() {
				copy(buf, stream)
				var p *Partial
				var err error
				for i := range pieces {
					if p, err = d.Feed(p, true, buf[i*len(buf)/pieces:(i+1)*len(buf)/pieces], nothing); err != nil {
						t.Fatal(err)
					}
				}
			}
			if n := testing.AllocsPerRun(100, run); n != 0 {
				t.Errorf("%s in %d pieces: %v allocations", name, pieces, n)
			}
		}
	}
}
