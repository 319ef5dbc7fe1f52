// Package wsproto is the WebSocket protocol (RFC 6455) and its compression
// (RFC 7692) over byte slices, for a server.
//
// # Place in the way of the data
//
// The event loop gives it the bytes that a socket delivered, in whatever
// pieces they come, and sends the bytes that it returns:
//
//	bytes → Upgrader.RequestEnd → Parse → Accept, or Refusal.AppendResponse
//	bytes → Decoder.Feed → Sink.Message, Sink.Control, or a *ProtocolError
//	message → AppendFrame, Deflater.AppendFrame, AppendClose → bytes
//
// It is pure: no socket, clock, goroutine or log. Nothing is kept for an idle
// session; one with an unfinished frame or message has a Partial.
//
// # Threads
//
// A Decoder and its Partials belong to one event loop. An Upgrader, a Deflater
// and the functions are safe from any goroutine. Slices that are handed out
// are borrowed and say for how long.
//
// # Failure
//
// An upgrade is refused with a Refusal, an HTTP status and a line that says
// what to do. Frames are refused with a *ProtocolError, the close code and its
// reason. Neither repeats bytes of the peer. Both are the end of the
// connection. Which one it is depends on the stream alone, never on the pieces
// it came in.
//
// # Where the rules are
//
// From gobwas/ws: opcodes and header type, what a frame's first two bytes may
// say (ws.CheckHeader), unmasking (ws.Cipher). Here, because it is not there
// or falls short: HTTP framing and its limits (handshake.go, request.go,
// target.go; ws.Upgrader reads from a blocking stream and bounds neither line
// nor header count), extension offers (extension.go), lengths in the fewest
// bytes and size limits (frame.go), text across fragments (utf8.go), close
// codes above 1011 (close.go), bounded inflating (inflate.go), resumption
// (decoder.go, partial.go).
//
// # What it leaves to others
//
// Deadlines, answering pings and closes, who may connect (Origin,
// credentials), how many frames a second, and writing to sockets.
package wsproto
