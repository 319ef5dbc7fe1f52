package reactor

import "math"

// Pressure is how much an engine holds back. The zero value is nothing: the
// limits are those of Config.
type Pressure struct {
	Halvings uint8 // how often the limits of mailboxes, unsent and unfinished bytes are halved, 0 to 8
	DropLow  bool  // messages of low priority are dropped and counted, also where there is room
	Refuse   bool  // newcomers are refused with 503

	// What may come until the next call of SetPressure: new connections, and
	// bytes that unfinished input may have in all. 0 is no limit but that of
	// Config; for nobody at all set Refuse.
	Newcomers int
	Inbound   int64

	Shed int // sessions to close per second: low priority first, then idle ones; 0 is none
}

// maxHalvings keeps every limit above what one message of a usual size takes.
const maxHalvings = 8

// SetPressure changes how much the engine holds back, from now on. Sessions
// that have more unsent or unfinished than the new limits allow notice when
// more is to come. Any goroutine.
func (e *Engine) SetPressure(p Pressure) {
	p.Halvings = min(p.Halvings, maxHalvings)
	inbound := total(e.cfg.InboundBytes) >> p.Halvings
	if p.Inbound > 0 {
		inbound = min(inbound, p.Inbound)
	}
	newcomers := int64(math.MaxInt64)
	if p.Newcomers > 0 {
		newcomers = int64(p.Newcomers)
	}
	e.outboundTotal.Store(total(e.cfg.OutboundBytes) >> p.Halvings)
	e.inboundTotal.Store(inbound)
	e.mailboxBytes.Store(int64(e.cfg.MailboxBytes) >> p.Halvings)
	e.newcomers.Store(newcomers)
	e.pressure.Store(&p)
}

// total is a limit over all sessions, where 0 in Config is none.
func total(n int64) int64 {
	if n == 0 {
		return math.MaxInt64
	}
	return n
}

// outboundLimit is how many unsent bytes one session may have now.
func (e *Engine) outboundLimit() int { return e.tuned().OutboundLimit >> e.pressure.Load().Halvings }

// overloaded reports whether a newcomer is refused to save memory. On a loop.
func (e *Engine) overloaded() bool {
	return e.pressure.Load().Refuse || e.newcomers.Add(-1) < 0
}
