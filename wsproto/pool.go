package wsproto

import "math/bits"

const (
	minBufferBits = 5  // 32 B: a short frame cut in two
	maxBufferBits = 16 // 64 KiB: the default message limit
	bufferClasses = maxBufferBits - minBufferBits + 1

	maxFreePartials = 256 // 16 KiB of them
)

// bufferPool lends byte slices whose capacity is a power of two. It keeps up
// to limit bytes of them, of 64 KiB at most each; what is larger or beyond
// that is left to the garbage collector, so that a burst of large messages is
// not held for ever. One owner, no lock.
type bufferPool struct {
	free  [bufferClasses][][]byte
	kept  int // bytes in free
	limit int // of kept
}

// classOf returns the class whose buffers have at least n bytes, and their
// size; class is -1 where buffers are too large to be kept.
func classOf(n int) (class, size int) {
	b := max(bits.Len(uint(max(n, 1)-1)), minBufferBits)
	if b > maxBufferBits {
		return -1, 1 << b
	}
	return b - minBufferBits, 1 << b
}

// get returns an empty slice with room for n bytes.
func (p *bufferPool) get(n int) []byte {
	class, size := classOf(n)
	if class >= 0 {
		if list := p.free[class]; len(list) > 0 {
			b := list[len(list)-1]
			list[len(list)-1] = nil
			p.free[class] = list[:len(list)-1]
			p.kept -= size
			return b
		}
	}
	return make([]byte, 0, size)
}

// put takes b back; nobody may hold any part of it.
func (p *bufferPool) put(b []byte) {
	if cap(b) == 0 {
		return
	}
	class, size := classOf(cap(b))
	if class < 0 || size != cap(b) || p.kept+size > p.limit {
		return
	}
	p.kept += size
	p.free[class] = append(p.free[class], b[:0])
}

// grow returns b with room for n more bytes. As capacities are powers of two
// it doubles at least, so a message that arrives byte by byte is copied less
// than once more in all: 32+64+...+n/2 < n.
func (p *bufferPool) grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	larger := append(p.get(len(b)+n), b...)
	p.put(b)
	return larger
}

// trim gives everything kept to the garbage collector.
func (p *bufferPool) trim() {
	for i := range p.free {
		p.free[i] = nil
	}
	p.kept = 0
}
