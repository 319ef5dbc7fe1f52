package wsproto

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// What does it cost to receive a message, whole and in pieces? In ns per byte
// the sizes of one kind of piece have to agree: that is what linear means.
func BenchmarkFeed(b *testing.B) {
	nothing := sinkFunc(func(ws.OpCode, []byte) error { return nil })
	for _, c := range []struct {
		kind  byte
		name  string
		size  int
		piece int // 0: whole
	}{
		{0x82, "binary", 64, 0},
		{0x81, "text", 64, 0},
		{0x81, "text", 1 << 10, 0},
		{0x82, "binary", 64 << 10, 0},
		{0x81, "text", 64 << 10, 0},
		{0x81, "text", 4 << 10, 1460},
		{0x81, "text", 16 << 10, 1460},
		{0x81, "text", 64 << 10, 1460},
		{0x81, "text", 4 << 10, 1},
		{0x81, "text", 16 << 10, 1},
		{0x81, "text", 64 << 10, 1},
	} {
		name := fmt.Sprintf("%s/%d/whole", c.name, c.size)
		if c.piece > 0 {
			name = fmt.Sprintf("%s/%d/pieces=%d", c.name, c.size, c.piece)
		}
		b.Run(name, func(b *testing.B) {
			stream := frame(c.kind, string(sampleJSON(c.size)))
			piece := c.piece
			if piece == 0 {
				piece = len(stream)
			}
			d := NewDecoder(DecoderConfig{})
			buf := make([]byte, len(stream))
			b.ReportAllocs()
			b.SetBytes(int64(c.size))
			for b.Loop() {
				copy(buf, stream) // unmasking spoils it; counted, 1 to 2 % at 64 KiB
				var p *Partial
				var err error
				for rest := buf; len(rest) > 0; {
					n := min(piece, len(rest))
					if p, err = d.Feed(p, false, rest[:n], nothing); err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
			}
		})
	}
}

// What does compression cost on top? JSON, both ways.
func BenchmarkDeflate(b *testing.B) {
	for _, size := range []int{256, 1 << 10, 4 << 10, 60_000} {
		message := sampleJSON(size)
		b.Run(fmt.Sprintf("send/%d", size), func(b *testing.B) {
			z := NewDeflater(DeflaterConfig{})
			var out []byte
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				out = z.AppendFrame(out[:0], ws.OpText, message)
			}
			b.ReportMetric(float64(len(out)), "wire-bytes")
		})
		b.Run(fmt.Sprintf("receive/%d", size), func(b *testing.B) {
			stream := frame(0xc1, deflated(string(message)))
			buf := make([]byte, len(stream))
			d := NewDecoder(DecoderConfig{})
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				copy(buf, stream)
				if _, err := d.Feed(nil, true, buf, sinkFunc(func(ws.OpCode, []byte) error { return nil })); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(stream)), "wire-bytes")
		})
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	for _, size := range []int{64, 1 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			payload, dst := make([]byte, size), make([]byte, 0, size+16)
			b.ReportAllocs()
			for b.Loop() {
				AppendFrame(dst, ws.OpBinary, false, payload)
			}
		})
	}
}

// What does one upgrade cost, and one more look at a request that is not
// complete?
func BenchmarkUpgrade(b *testing.B) {
	u := &Upgrader{Subprotocols: []string{"json"}, Deflate: true}
	head := []byte(requestLine("GET /ws?id=dev1 HTTP/1.1", "Origin: https://app.example", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
		"Accept-Language: en", "Accept-Encoding: gzip, deflate, br", "Cache-Control: no-cache", "Pragma: no-cache",
		"Sec-WebSocket-Protocol: xml, json", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"))
	b.Run("accept", func(b *testing.B) {
		var r Request
		var out []byte
		b.ReportAllocs()
		for b.Loop() {
			end, refusal := u.RequestEnd(head)
			if refusal == nil {
				refusal = u.Parse(head[:end], &r)
			}
			if refusal != nil {
				b.Fatal(refusal)
			}
			out, _ = u.Accept(out[:0], &r)
		}
	})
	b.Run("look again at 8 KiB", func(b *testing.B) {
		long := []byte("GET /ws HTTP/1.1\r\n" + strings.Repeat("X: "+strings.Repeat("y", 120)+"\r\n", 62))
		long = append(long, bytes.Repeat([]byte("z"), 8<<10-1-len(long))...)
		b.ReportAllocs()
		for b.Loop() {
			if end, refusal := u.RequestEnd(long); end != 0 || refusal != nil {
				b.Fatal(end, refusal)
			}
		}
	})
}
