package wsproto

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Limits that a zero DecoderConfig stands for, and the largest one.
const (
	DefaultMaxMessageSize = 64 << 10
	DefaultMaxFragments   = 1024
	DefaultRetainBytes    = 256 << 10
	MaxMessageSizeCeiling = 1 << 30
)

// DecoderConfig bounds what a Decoder accepts. A zero field is its default.
type DecoderConfig struct {
	// MaxMessageSize in bytes, after inflating, 1 to MaxMessageSizeCeiling;
	// default 64 KiB. A larger message is refused with 1009.
	MaxMessageSize int
	// MaxFragments of one message, empty ones counted; default 1024. A
	// message in more is refused with 1009. At 64 KiB that is a fragment of
	// 64 bytes, smaller than any client library cuts by itself.
	MaxFragments int
	// RetainBytes of unused buffers that one Decoder keeps for reuse;
	// default 256 KiB.
	RetainBytes int
}

// Validate reports every field that is out of range.
func (c DecoderConfig) Validate() error {
	var errs []error
	if c.MaxMessageSize < 0 || c.MaxMessageSize > MaxMessageSizeCeiling {
		errs = append(errs, fmt.Errorf("max message size %d: want 1 to %d bytes", c.MaxMessageSize, MaxMessageSizeCeiling))
	}
	if c.MaxFragments < 0 {
		errs = append(errs, fmt.Errorf("max fragments %d: want at least 1", c.MaxFragments))
	}
	if c.RetainBytes < 0 {
		errs = append(errs, fmt.Errorf("retain bytes %d: want at least 1", c.RetainBytes))
	}
	return errors.Join(errs...)
}

// Sink receives what a Decoder found, in the order of the stream. The payload
// is borrowed: it is overwritten after the method returns. An error stops
// Feed, which returns it. A method must not call the Decoder.
type Sink interface {
	// Message is a whole data message, op Text or Binary, inflated; text is
	// valid UTF-8.
	Message(op ws.OpCode, payload []byte) error
	// Control is a ping, pong or close frame. ParseClose does not fail on the
	// payload of this close. Nothing follows a close.
	Control(op ws.OpCode, payload []byte) error
}

// Decoder turns the bytes that clients send into messages. It holds the
// buffers and scratch of one event loop and nothing of any session: what a
// session leaves unfinished is in its Partial. Not safe for concurrent use.
type Decoder struct {
	maxMessage   int
	maxDeflated  int
	maxFragments int

	buffers  bufferPool
	partials []*Partial
	frames   uint64 // headers decoded, of every kind
}

// Frames is how many frames have begun, control frames and fragments included.
func (d *Decoder) Frames() uint64 { return d.frames }

// NewDecoder returns a Decoder for one loop. cfg must be valid.
func NewDecoder(cfg DecoderConfig) *Decoder {
	if err := cfg.Validate(); err != nil {
		panic("wsproto: " + err.Error())
	}
	d := &Decoder{
		maxMessage:   orDefault(cfg.MaxMessageSize, DefaultMaxMessageSize),
		maxFragments: orDefault(cfg.MaxFragments, DefaultMaxFragments),
		buffers:      bufferPool{limit: orDefault(cfg.RetainBytes, DefaultRetainBytes)},
	}
	d.maxDeflated = d.maxMessage + d.maxMessage/deflateSlack + deflateSlackBytes
	return d
}

func orDefault(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// Feed decodes all of buf, which continues the stream that p left off, and
// gives sink what is complete. deflate says whether permessage-deflate was
// negotiated. It unmasks in place, so buf is changed; it keeps no part of it.
//
// It returns what is unfinished at the end of buf, nil if nothing is; p itself
// must not be used again. After an error, a *ProtocolError or one of the
// sink's, nothing is unfinished and the stream cannot be continued. After a
// close frame the rest of buf is discarded, RFC 6455 section 5.5.1.
func (d *Decoder) Feed(p *Partial, deflate bool, buf []byte, sink Sink) (*Partial, error) {
	for len(buf) > 0 {
		var done bool
		var err error
		if p != nil && p.left > 0 {
			buf, done, err = d.resume(p, buf, sink)
		} else {
			p, buf, done, err = d.next(p, deflate, buf, sink)
		}
		if err != nil || done {
			d.Release(p)
			return nil, err
		}
		if p != nil && p.idle() {
			d.Release(p)
			p = nil
		}
	}
	return p, nil
}

// next decodes one frame from its start, or what buf has of it. done tells
// that a close frame was delivered.
func (d *Decoder) next(p *Partial, deflate bool, buf []byte, sink Sink) (_ *Partial, rest []byte, done bool, err error) {
	h, n, err := d.header(p, deflate, buf)
	if err != nil {
		return p, nil, false, err
	}
	if n == 0 { // the header is not complete
		if p == nil {
			p = d.partial()
		}
		p.headLen += uint8(copy(p.head[p.headLen:], buf))
		return p, nil, false, nil
	}
	buf = buf[n:]
	d.frames++
	if p != nil {
		p.headLen = 0
	}

	if h.Length > int64(len(buf)) { // the payload is not complete
		if p == nil {
			p = d.partial()
		}
		p.begin(h)
		return p, nil, false, d.gather(p, buf)
	}
	payload, rest := buf[:h.Length], buf[h.Length:]
	ws.Cipher(payload, h.Mask, 0)
	switch {
	case h.OpCode.IsControl():
		err = d.control(h.OpCode, payload, sink)
		return p, rest, h.OpCode == ws.OpClose, err
	case h.Fin && h.OpCode != ws.OpContinuation: // all of a message, the common case
		return p, rest, false, d.deliver(h.OpCode, h.Rsv&rsv1 != 0, payload, sink)
	default:
		if p == nil {
			p = d.partial()
		}
		p.begin(h)
		if err = d.extend(p, payload); err == nil {
			_, err = d.end(p, sink)
		}
		return p, rest, false, err
	}
}

// header decodes the header that begins in p and goes on in buf. n is how
// much of buf it takes, 0 while it is not complete.
func (d *Decoder) header(p *Partial, deflate bool, buf []byte) (ws.Header, int, error) {
	rules := frameRules{
		deflate: deflate, maxFragments: d.maxFragments,
		maxMessage: d.maxMessage, maxDeflated: d.maxDeflated,
	}
	if p == nil {
		return decodeHeader(buf, &rules)
	}
	if p.open != 0 {
		rules.open, rules.compressed = true, p.compressed
		rules.fragments, rules.have = int(p.fragments), len(p.buf)
	}
	var joined [ws.MaxHeaderSize]byte
	before := copy(joined[:], p.head[:p.headLen])
	n := before + copy(joined[before:], buf)
	h, n, err := decodeHeader(joined[:n], &rules)
	return h, max(n-before, 0), err
}

// resume takes what buf has of the open frame.
func (d *Decoder) resume(p *Partial, buf []byte, sink Sink) (rest []byte, done bool, err error) {
	n := min(len(buf), int(p.left))
	if err := d.gather(p, buf[:n]); err != nil {
		return nil, false, err
	}
	if p.left == 0 {
		done, err = d.end(p, sink)
	}
	return buf[n:], done, err
}

// gather unmasks part of the open frame and adds it to the message.
func (d *Decoder) gather(p *Partial, part []byte) error {
	ws.Cipher(part, p.mask, 0)
	p.mask = rotate(p.mask, len(part))
	p.left -= uint32(len(part))
	return d.extend(p, part)
}

// extend adds unmasked bytes of the open frame to the message and checks text
// as it comes, so that it fails at the first byte that cannot be UTF-8.
func (d *Decoder) extend(p *Partial, part []byte) error {
	if len(part) == 0 {
		return nil
	}
	p.buf = append(d.buffers.grow(p.buf, len(part)), part...)
	if p.open != ws.OpText || p.compressed || p.frame.IsControl() {
		return nil
	}
	n, ok := validPrefix(p.buf[p.valid:])
	if !ok {
		return errText
	}
	p.valid += uint32(n)
	return nil
}

// end closes the open frame, which has arrived in full, and delivers what is
// complete with it.
func (d *Decoder) end(p *Partial, sink Sink) (done bool, err error) {
	p.left = 0
	switch {
	case p.frame.IsControl():
		payload := p.buf[p.control:]
		p.buf = p.buf[:p.control]
		return p.frame == ws.OpClose, d.control(p.frame, payload, sink)
	case !p.fin:
		return false, nil
	case p.compressed:
		err = d.deliver(p.open, true, p.buf, sink)
	case p.open == ws.OpText && int(p.valid) != len(p.buf):
		err = errText // ends within a character
	default:
		err = sink.Message(p.open, p.buf)
	}
	p.open = 0
	return false, err
}

// deliver hands a whole message to the sink.
func (d *Decoder) deliver(op ws.OpCode, compressed bool, payload []byte, sink Sink) error {
	if compressed {
		inflated, err := d.inflate(payload)
		defer d.buffers.put(inflated)
		if err != nil {
			return err
		}
		payload = inflated
	}
	if op == ws.OpText && !utf8.Valid(payload) {
		return errText
	}
	return sink.Message(op, payload)
}

// control hands a control frame to the sink. RFC 6455 section 5.5.
func (d *Decoder) control(op ws.OpCode, payload []byte, sink Sink) error {
	if op == ws.OpClose {
		if _, _, err := ParseClose(payload); err != nil {
			return err
		}
	}
	return sink.Control(op, payload)
}

// begin opens the frame of h, and a message unless one is open.
func (p *Partial) begin(h ws.Header) {
	p.frame, p.fin = h.OpCode, h.Fin
	p.mask, p.left = h.Mask, uint32(h.Length)
	switch {
	case h.OpCode.IsControl():
		p.control = uint32(len(p.buf))
		return
	case h.OpCode != ws.OpContinuation:
		p.open, p.compressed = h.OpCode, h.Rsv&rsv1 != 0
	}
	p.fragments++
}

// idle reports that nothing is unfinished.
func (p *Partial) idle() bool { return p.open == 0 && p.left == 0 && p.headLen == 0 }

// partial returns an empty Partial.
func (d *Decoder) partial() *Partial {
	if n := len(d.partials); n > 0 {
		p := d.partials[n-1]
		d.partials = d.partials[:n-1]
		return p
	}
	return new(Partial)
}

// Release gives back what a session left unfinished when it ends; nil is
// allowed. During Feed its Partial is not the caller's to release.
func (d *Decoder) Release(p *Partial) {
	if p == nil {
		return
	}
	d.buffers.put(p.buf)
	*p = Partial{}
	if len(d.partials) < maxFreePartials {
		d.partials = append(d.partials, p)
	}
}

// Trim gives unused buffers to the garbage collector. A loop calls it when it
// has been quiet for a while.
func (d *Decoder) Trim() {
	d.buffers.trim()
	clear(d.partials)
	d.partials = nil
}
