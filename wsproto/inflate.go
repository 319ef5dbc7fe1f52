package wsproto

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	// A compressed message may be larger than what it inflates to: a stored
	// block adds 5 bytes per 65,535, and zlib's own bound for odd settings is
	// 1/8 and a few bytes. Up to that much is accepted for a message that
	// would fit.
	deflateSlack      = 8
	deflateSlackBytes = 64

	// maxKeptInput is the largest input scratch that an inflater keeps.
	maxKeptInput = 128 << 10
)

// flushTail is what the sender of a message takes away from its end and the
// receiver puts back, RFC 7692 sections 7.2.1 and 7.2.2: all but the first
// bits of an empty stored block.
const flushTail = "\x00\x00\xff\xff"

// inflateTail is appended to every message: the flush, and an empty final
// block at which flate reports the end.
const inflateTail = flushTail + "\x01\x00\x00\xff\xff"

// inflater is a pooled decoder, 35 KiB, and its scratch. It carries
// nothing from message to message: client_no_context_takeover is in every
// answer that accepts the extension.
type inflater struct {
	flate io.ReadCloser // a flate.Resetter
	src   bytes.Reader  // flate has a fast path for this very type
	input []byte        // message and tail
	over  [1]byte       // where a byte beyond the limit would land
}

// inflaters is shared by all loops; the garbage collector empties it, so an
// idle process holds none.
var inflaters = sync.Pool{New: func() any {
	z := &inflater{}
	z.flate = flate.NewReader(&z.src)
	return z
}}

// inflate returns the message that payload stands for, in a buffer for
// d.buffers.put, also after an error. It stops at the message limit.
func (d *Decoder) inflate(payload []byte) ([]byte, error) {
	z := inflaters.Get().(*inflater)
	defer z.free()
	z.input = append(append(z.input[:0], payload...), inflateTail...)
	z.src.Reset(z.input)
	z.restart()

	out := d.buffers.get(min(4*len(payload), d.maxMessage))
	for {
		into := z.over[:]
		if len(out) < d.maxMessage {
			out = d.buffers.grow(out, 1)
			into = out[len(out):min(cap(out), d.maxMessage)]
		}
		n, err := z.flate.Read(into)
		if len(out)+n > d.maxMessage {
			return out, errTooBig
		}
		out = out[:len(out)+n]
		switch {
		case err == nil:
		case err != io.EOF:
			return out, errDeflate
		case z.src.Len() == 0:
			return out, nil
		default:
			// A block of the message's own was final (RFC 7692 section
			// 7.2.3.5). What follows is another stream; each takes two bytes
			// of input at least, so the work stays linear.
			z.restart()
		}
	}
}

func (z *inflater) restart() {
	// Reset of flate's reader has no error to return.
	_ = z.flate.(flate.Resetter).Reset(&z.src, nil)
}

func (z *inflater) free() {
	if cap(z.input) > maxKeptInput {
		z.input = nil
	}
	inflaters.Put(z)
}
