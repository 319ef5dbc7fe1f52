package load

// sayGoodbye sends a close frame with 1000 (RFC 6455 section 7.4.1).
func (e *Engine) sayGoodbye(c *conn) {
	e.scratch = appendMasked(e.scratch[:0], opClose, e.mask, []byte{0x03, 0xe8})
	_, _ = write(int(c.fd), e.scratch)
}

// drop ends count connections with RST, all of them when count is negative,
// and returns how many it ended.
func (e *Engine) drop(count int) (n int) {
	e.conns.each(func(slot uint32, c *conn) {
		if c.state == stateOpen && (count < 0 || n < count) {
			e.release(slot, c)
			n++
		}
	})
	return n
}
