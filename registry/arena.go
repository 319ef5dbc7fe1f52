package registry

import (
	"encoding/binary"

	"github.com/limpet-gateway/limpet/internal/session"
)

// arena hands out blocks of 4-byte words from pointer-free chunks. A block is
// named by the index of its first word, which stays the same for its life;
// a freed block is reused by the next one of its size, so the space taken for
// each size never passes the peak of that size.
//
// The first four bytes of a block are the arena's:
//
//	0      1       2                    4
//	| state | words | length of the name | owner's ...
//
// (byte 3 is the owner's too). While a block is free, bytes 4 to 8 link it to
// the next free one.
type arena struct {
	chunks []*[chunkBytes]byte
	next   uint32 // first word never handed out
	free   [maxBlockWords + 1]uint32
	resets uint32 // how often everything was given back
}

const (
	wordBytes     = 4
	chunkWordBits = 12
	chunkWords    = 1 << chunkWordBits
	chunkBytes    = chunkWords * wordBytes // 16 KiB, a size class of the Go allocator

	// wordBits is what an index slot leaves for a block: 64 Mi words, 256 MiB.
	wordBits     = 26
	maxArenaWord = 1<<wordBits - 1

	maxBlockWords = (sessionHeader + session.MaxName + wordBytes - 1) / wordBytes

	offState  = 0
	offWords  = 1
	offLength = 2
	offLink   = 4
)

// State of a block. A zero byte marks the unused tail of a chunk.
const (
	blockFree = 1 + iota
	blockLive
	blockDisplaced // live for its owner, invisible to lookups
)

// alloc returns a block of a header and a name, or 0 when the arena is full.
// The name is copied in; the rest of the header is zero.
func (a *arena) alloc(header int, name []byte) uint32 {
	words := (header + len(name) + wordBytes - 1) / wordBytes
	at := a.free[words]
	if at != 0 {
		a.free[words] = get(a.block(at), offLink)
	} else if at = a.bump(uint32(words)); at == 0 {
		return 0
	}
	b := a.block(at)
	clear(b[:header])
	b[offState], b[offWords], b[offLength] = blockLive, byte(words), byte(len(name))
	copy(b[header:], name)
	return at
}

func (a *arena) bump(words uint32) uint32 {
	if a.next == 0 {
		a.next = 1 // word 0 means "none"
	}
	if a.next&(chunkWords-1)+words > chunkWords { // no block straddles two chunks
		a.next = (a.next + chunkWords) &^ (chunkWords - 1)
	}
	if a.next+words > maxArenaWord {
		return 0
	}
	if int(a.next>>chunkWordBits) >= len(a.chunks) {
		a.chunks = append(a.chunks, new([chunkBytes]byte))
	}
	at := a.next
	a.next += words
	return at
}

func (a *arena) release(at uint32) {
	b := a.block(at)
	words := b[offWords]
	b[offState] = blockFree
	put(b, offLink, a.free[words])
	a.free[words] = at
}

// block returns the bytes from word at to the end of its chunk.
func (a *arena) block(at uint32) []byte {
	return a.chunks[at>>chunkWordBits][at&(chunkWords-1)*wordBytes:]
}

// name returns the name in the block at, which follows header bytes. It is
// borrowed until the lock that guards a is let go.
func (a *arena) name(at uint32, header int) []byte {
	b := a.block(at)
	return b[header : header+int(b[offLength])]
}

// bytes is the memory that a holds.
func (a *arena) bytes() int { return len(a.chunks) * (chunkBytes + 8) }

// reset gives all memory back; no block may be in use.
func (a *arena) reset() { *a = arena{resets: a.resets + 1} }

func get(b []byte, off int) uint32    { return binary.LittleEndian.Uint32(b[off:]) }
func put(b []byte, off int, v uint32) { binary.LittleEndian.PutUint32(b[off:], v) }
