package wsproto

import (
	"unsafe"

	"github.com/gobwas/ws"
)

// Partial is what has arrived of a frame or message that is not complete. A
// session has none while it is idle, and 64 bytes and a buffer of the size of
// what arrived, not of what a header promised, while it has one. Owned by the
// loop of its Decoder.
type Partial struct {
	// buf holds the open message, unmasked, then what has come of a control
	// frame between its fragments. One buffer serves both, since the message
	// cannot grow until the control frame is complete.
	//
	//	0          valid        control               len(buf)
	//	| checked   | ≤3 bytes   | control payload      |
	//	| UTF-8     | of a char  | so far               |
	buf     []byte
	control uint32 // where the control payload starts
	valid   uint32 // text only: buf[:valid] is whole, valid characters

	left      uint32  // payload bytes of the open frame yet to come; 0: between frames
	fragments uint32  // frames of the open message so far
	mask      [4]byte // of the open frame, rotated so that mask[0] meets its next byte

	open       ws.OpCode // Text or Binary while a message is open, else 0
	frame      ws.OpCode // of the open frame
	fin        bool      // of the open frame
	compressed bool      // the open message

	head    [ws.MaxHeaderSize - 1]byte // a header that is not complete
	headLen uint8
}

const partialSize = int(unsafe.Sizeof(Partial{}))

// Buffered returns the bytes of memory that p holds, itself included; 0 for
// nil. On the loop only.
func (p *Partial) Buffered() int {
	if p == nil {
		return 0
	}
	return partialSize + cap(p.buf)
}

// rotate turns mask so that its first byte meets the byte n further on.
func rotate(mask [4]byte, n int) [4]byte {
	return [4]byte{mask[n&3], mask[(n+1)&3], mask[(n+2)&3], mask[(n+3)&3]}
}
