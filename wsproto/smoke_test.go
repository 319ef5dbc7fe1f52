package wsproto

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

type recorder struct {
	events []event
	fail   error
}

type event struct {
	op      ws.OpCode
	payload string
}

func (r *recorder) Message(op ws.OpCode, payload []byte) error {
	r.events = append(r.events, event{op, string(payload)})
	return r.fail
}

func (r *recorder) Control(op ws.OpCode, payload []byte) error { return r.Message(op, payload) }

func TestHello(t *testing.T) {
	u := &Upgrader{Deflate: true, Subprotocols: []string{"a"}}
	head := "GET /ws?id=x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: b, a\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
	n, refusal := u.RequestEnd([]byte(head + "rest"))
	if n != len(head) || refusal != nil {
		t.Fatal(n, refusal)
	}
	var r Request
	if refusal := u.Parse([]byte(head), &r); refusal != nil {
		t.Fatal(refusal)
	}
	out, hs := u.Accept(nil, &r)
	if !strings.Contains(string(out), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") || hs != (Handshake{"a", true}) {
		t.Fatal(string(out), hs)
	}
	// RFC 6455 section 5.7: a masked "Hello".
	d := NewDecoder(DecoderConfig{})
	var sink recorder
	p, err := d.Feed(nil, false, []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, &sink)
	if p != nil || err != nil || len(sink.events) != 1 || sink.events[0].payload != "Hello" {
		t.Fatal(p, err, sink.events)
	}
}
