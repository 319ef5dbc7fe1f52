package wsproto_test

import (
	"fmt"

	"github.com/gobwas/ws"

	"github.com/limpet-gateway/limpet/wsproto"
)

// An event loop, less its sockets: bytes in, bytes out.
func Example() {
	upgrader := &wsproto.Upgrader{Path: "/ws"}
	decoder := wsproto.NewDecoder(wsproto.DecoderConfig{})
	var request wsproto.Request

	input := []byte("GET /ws?id=dev1 HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" +
		"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58") // and a first frame in the same segment

	end, refusal := upgrader.RequestEnd(input)
	if refusal == nil && end > 0 {
		refusal = upgrader.Parse(input[:end], &request)
	}
	if refusal != nil {
		fmt.Printf("%s", refusal.AppendResponse(nil))
		return
	}
	id, _ := request.Query("id")
	response, agreed := upgrader.Accept(nil, &request)
	fmt.Printf("%s: %.34q...\n", id, response)

	unfinished, err := decoder.Feed(nil, agreed.Deflate, input[end:], printer{})
	fmt.Println(unfinished, err)
	// Output:
	// dev1: "HTTP/1.1 101 Switching Protocols\r\n"...
	// text "Hello", answered with 7 bytes
	// <nil> <nil>
}

type printer struct{}

func (printer) Message(op ws.OpCode, payload []byte) error {
	kind := map[ws.OpCode]string{ws.OpText: "text", ws.OpBinary: "binary"}[op]
	answer := wsproto.AppendFrame(nil, op, false, payload)
	fmt.Printf("%s %q, answered with %d bytes\n", kind, payload, len(answer))
	return nil
}

func (printer) Control(ws.OpCode, []byte) error { return nil }
