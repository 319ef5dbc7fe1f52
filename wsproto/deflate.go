package wsproto

import (
	"errors"
	"fmt"
	"sync"

	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"
)

// What a zero DeflaterConfig stands for.
const (
	DefaultDeflateMinSize = 256
	DefaultDeflateLevel   = 1

	// maxKeptOutput is the largest output scratch that a coder keeps.
	maxKeptOutput = 64 << 10
)

// DeflaterConfig says what is compressed, and how hard. A zero field is its
// default.
type DeflaterConfig struct {
	MinSize int // bytes; shorter messages are sent as they are; default 256
	Level   int // of flate, 1 (fast) to 9; default 1
}

// Validate reports every field that is out of range.
func (c DeflaterConfig) Validate() error {
	var errs []error
	if c.MinSize < 0 {
		errs = append(errs, fmt.Errorf("deflate min size %d: want at least 1 byte", c.MinSize))
	}
	if c.Level < 0 || c.Level > flate.BestCompression {
		errs = append(errs, fmt.Errorf("deflate level %d: want 1 to %d", c.Level, flate.BestCompression))
	}
	return errors.Join(errs...)
}

// Deflater makes frames of messages for sessions that negotiated
// permessage-deflate. No message depends on another one (RFC 7692 section
// 7.1.1.1, server_no_context_takeover), so one frame serves every such session.
// Safe for concurrent use; its coders are pooled and an idle process holds
// none.
type Deflater struct {
	minSize int
	coders  sync.Pool // of *coder
}

// coder is a compressor and the output it writes to.
type coder struct {
	flate *flate.Writer
	out   []byte
}

// Write appends to the output; it makes coder the io.Writer of its own flate.
func (c *coder) Write(b []byte) (int, error) {
	c.out = append(c.out, b...)
	return len(b), nil
}

// NewDeflater returns a Deflater. cfg must be valid.
func NewDeflater(cfg DeflaterConfig) *Deflater {
	if err := cfg.Validate(); err != nil {
		panic("wsproto: " + err.Error())
	}
	level := orDefault(cfg.Level, DefaultDeflateLevel)
	d := &Deflater{minSize: orDefault(cfg.MinSize, DefaultDeflateMinSize)}
	d.coders.New = func() any {
		c := &coder{}
		c.flate, _ = flate.NewWriter(c, level) // Validate has checked the level
		return c
	}
	return d
}

// AppendFrame appends one final frame with the message payload to dst:
// compressed if payload has the minimum size and gets shorter by it, else as
// it is. op is ws.OpText or ws.OpBinary. It copies payload.
func (d *Deflater) AppendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	if len(payload) < d.minSize {
		return AppendFrame(dst, op, false, payload)
	}
	c := d.coders.Get().(*coder)
	defer func() {
		if cap(c.out) > maxKeptOutput {
			c.out = nil
		}
		d.coders.Put(c)
	}()
	c.out = c.out[:0]
	c.flate.Reset(c)
	if _, err := c.flate.Write(payload); err != nil || c.flate.Flush() != nil {
		return AppendFrame(dst, op, false, payload) // Write above cannot fail
	}
	// RFC 7692 section 7.2.1: a flush ends in 00 00 ff ff, which is not sent.
	deflated := c.out[:len(c.out)-4]
	if len(deflated) >= len(payload) {
		return AppendFrame(dst, op, false, payload)
	}
	return AppendFrame(dst, op, true, deflated)
}
