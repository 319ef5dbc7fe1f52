package load

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// TrafficSpec asks for messages over the open connections. With Rate the
// load is open: message k is due at StartAt + k/Rate whatever the server
// does, and its latency counts from then. Without it the load is closed: each
// connection has one message in flight, which measures throughput.
type TrafficSpec struct {
	StartAt  int64         `json:"start_at"` // CLOCK_MONOTONIC, ns; 0: now
	Rate     float64       `json:"rate"`     // messages per second; 0: closed loop
	Warmup   time.Duration `json:"warmup_ns"`
	Duration time.Duration `json:"duration_ns"` // after the warm-up
	Grace    time.Duration `json:"grace_ns"`    // for answers after the end
	Size     int           `json:"size"`        // payload bytes, at least StampLen
	OneWay   bool          `json:"one_way"`     // no answer is expected
	Churn    float64       `json:"churn"`       // connections per second closed and opened anew
	// DeafShare of the connections send and never read.
	DeafShare float64 `json:"deaf_share"`
}

// TrafficResult covers the time after the warm-up, except Sent, Answered and
// Unanswered, which cover all.
type TrafficResult struct {
	Sent       uint64            `json:"sent"`
	Answered   uint64            `json:"answered"`
	Measured   uint64            `json:"measured"` // answers that arrived within the measured time
	Unanswered uint64            `json:"unanswered"`
	FirstSeq   uint64            `json:"first_seq"` // of this worker; Sent follow without a gap when Errors is empty
	Errors     map[string]uint64 `json:"errors"`
	Churned    uint64            `json:"churned"`
	Deaf       uint64            `json:"deaf"`        // connections that did not read
	DeafClosed uint64            `json:"deaf_closed"` // connections that do not read and were closed for it
	DeafSent   uint64            `json:"deaf_sent"`   // messages that those could still send
	// Latency counts from the intended time to the last byte of the answer.
	// A message that was still unanswered at the end is in it with the time
	// it had waited by then.
	Latency Hist `json:"latency"`
	// Lag is how late this client itself was: intended to actual send.
	Lag Hist `json:"lag"`
}

// traffic is a TrafficSpec under way. It runs on the loop.
type traffic struct {
	e        *Engine
	spec     TrafficSpec
	result   TrafficResult
	order    []uint32 // slots in the order of sending, shuffled
	deaf     []uint32
	template []byte // one masked frame; the stamp is written over it
	stampAt  int
	from     int64 // measured time
	until    int64
	next     uint64 // messages due so far
	deafNext int64  // time of the next burst of the deaf ones
	churned  uint64
	begun    bool
	cancel   bool
	base     map[string]uint64 // losses that earlier results have named
	replaced int               // dials of churn under way
}

func newTraffic(e *Engine, spec TrafficSpec) *traffic {
	spec.Size = max(spec.Size, StampLen)
	if spec.StartAt == 0 {
		spec.StartAt = e.now()
	}
	t := &traffic{
		e: e, spec: spec,
		from: spec.StartAt + int64(spec.Warmup),
		base: e.told,
		result: TrafficResult{
			Errors: make(map[string]uint64), Latency: NewHist(), Lag: NewHist(),
			FirstSeq: uint64(e.cfg.Worker) << 36,
		},
	}
	clear(e.deafLost)
	t.until = t.from + int64(spec.Duration)
	t.prepare()
	return t
}

// prepare shuffles the connections and builds the frame.
func (t *traffic) prepare() {
	e := t.e
	e.conns.each(func(slot uint32, c *conn) {
		if c.state == stateOpen {
			c.sent, c.recv = 0, 0
			t.order = append(t.order, slot)
		}
	})
	e.rng.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
	n := int(math.Round(t.spec.DeafShare * float64(len(t.order))))
	t.deaf, t.order = t.order[:n], t.order[n:]
	for _, slot := range t.deaf {
		c := e.conns.at(slot)
		c.flags |= flagDeaf
		_ = unix.SetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_RCVBUF, deafWindow)
	}
	payload := make([]byte, t.spec.Size)
	for i := range payload {
		payload[i] = 'a' + byte(i%26)
	}
	t.template = appendMasked(nil, opBinary, e.mask, payload)
	t.stampAt = len(t.template) - t.spec.Size
}

// frame is the next message, due at the given time; borrowed until the next
// call.
func (t *traffic) frame(due int64) []byte {
	stamp := Stamp{Seq: t.result.FirstSeq + t.result.Sent, Time: due}
	at := t.template[t.stampAt : t.stampAt+StampLen]
	_, _ = stamp.AppendText(at[:0])
	for i := range at {
		at[i] ^= t.e.mask[i&3]
	}
	return t.template
}

func (t *traffic) step(now int64) (int64, bool) {
	if t.cancel {
		t.until = min(t.until, now)
	}
	switch {
	case now < t.spec.StartAt && !t.cancel:
		return t.spec.StartAt, false
	case now >= t.until:
		if t.cancel || t.spec.OneWay || t.settled() || now >= t.until+int64(t.spec.Grace) {
			t.finish(now)
			return now, true
		}
		return now + int64(time.Millisecond), false
	}
	t.churn(now)
	t.sendDeaf(now)
	if t.spec.Rate > 0 {
		return t.open(now), false
	}
	if !t.begun {
		t.begun = true
		for _, slot := range t.order {
			t.send(slot, now)
		}
	}
	return min(t.until, now+int64(deafInterval)), false
}

const (
	sendBurst    = 256 // messages before events are looked at again
	deafInterval = 20 * time.Millisecond
	deafBurst    = 4    // messages of one deaf connection per interval
	deafWindow   = 4096 // bytes of its receive buffer
)

// open sends what is due by now and returns when the next message is.
func (t *traffic) open(now int64) int64 {
	if len(t.order) == 0 {
		return t.until
	}
	for range sendBurst {
		due := t.due(t.next)
		if due > now || due >= t.until {
			return min(due, t.until)
		}
		slot := t.order[t.next%uint64(len(t.order))]
		t.next++
		t.send(slot, due)
	}
	return now
}

func (t *traffic) due(k uint64) int64 {
	return t.spec.StartAt + int64(float64(k)/t.spec.Rate*1e9)
}

// send sends one message, or puts it behind what the socket has not taken.
func (t *traffic) send(slot uint32, due int64) {
	c := t.e.conns.at(slot)
	if c.state != stateOpen {
		if t.spec.Churn == 0 {
			t.result.Errors[KindNotSent]++
		}
		return
	}
	t.result.Lag.Record(t.e.now() - due)
	c.due = due
	if t.e.blocked(slot, c) {
		s := t.e.side(slot, c)
		if len(s.backlog) == maxBacklog {
			t.result.Errors[KindNotSent]++
			return
		}
		s.backlog = append(s.backlog, due)
		return
	}
	if t.e.write(slot, c, t.frame(due)) {
		c.sent++
		t.e.counts.Sent++
		t.result.Sent++
	}
}

// sendDeaf has those who never read send on, as long as their sockets take
// it: the answers fill the client's receive buffer, then the server's send
// buffer, then the server's memory.
func (t *traffic) sendDeaf(now int64) {
	if len(t.deaf) == 0 || now < t.deafNext {
		return
	}
	t.deafNext = now + int64(deafInterval)
	for _, slot := range t.deaf {
		c := t.e.conns.at(slot)
		for range deafBurst {
			if c.state != stateOpen || c.flags&flagDeaf == 0 || t.e.blocked(slot, c) {
				break
			}
			if t.e.write(slot, c, t.frame(now)) {
				t.result.Sent++
				t.result.DeafSent++
			}
		}
	}
}

// answered is called for each stamped message that arrives.
func (t *traffic) answered(slot uint32, c *conn, stamp Stamp, size int) {
	now := t.e.now()
	if size != t.spec.Size || c.recv >= c.sent || stamp.Seq>>36 != uint64(t.e.cfg.Worker) {
		t.result.Errors[KindWrongMessage]++
		return
	}
	c.recv++
	t.result.Answered++
	if now >= t.from && now < t.until {
		t.result.Measured++
	}
	if stamp.Time >= t.from && stamp.Time < t.until {
		t.result.Latency.Record(now - stamp.Time)
	}
	if t.spec.Rate == 0 && now < t.until {
		t.send(slot, now)
	}
}

// churn replaces connections: every other one ends with a close frame, the
// rest with a bare RST, as devices that lose their network do.
func (t *traffic) churn(now int64) {
	if t.spec.Churn == 0 || len(t.order) == 0 {
		return
	}
	want := uint64(float64(now-t.spec.StartAt) / 1e9 * t.spec.Churn)
	for burst := 0; t.churned < want && burst < sendBurst; burst++ {
		t.churned++
		slot := t.order[t.e.rng.IntN(len(t.order))]
		c := t.e.conns.at(slot)
		if c.state != stateOpen {
			continue
		}
		if t.churned%2 == 0 {
			t.e.sayGoodbye(c)
		}
		t.e.release(slot, c)
		d := newDialing(t.e, DialSpec{Count: 1})
		t.result.Churned++
		t.replaced++
		t.e.launch(d, func() {
			t.replaced--
			if t.e.traffic != t {
				return // the result has been handed over
			}
			for k, n := range d.result.Refusals {
				t.result.Errors[k] += n
			}
		})
	}
}

// settled: nothing is awaited any more.
func (t *traffic) settled() bool {
	if t.replaced > 0 {
		return false
	}
	for _, slot := range t.order {
		if c := t.e.conns.at(slot); c.state == stateOpen && c.recv < c.sent {
			return false
		}
	}
	return true
}

// finish counts what is missing. Message i of the connection at place p was
// due at due(p + i × connections), so the time that each unanswered message
// has waited is known without having been stored.
func (t *traffic) finish(now int64) {
	t.e.traffic = nil
	for p, slot := range t.order {
		c := t.e.conns.at(slot)
		if c.state != stateOpen || t.spec.OneWay {
			continue
		}
		if c.flags&flagSide != 0 {
			s := t.e.sides[slot]
			c.sent += uint32(len(s.backlog)) // due, and stuck behind a full socket
			s.backlog = s.backlog[:0]
		}
		for i := c.recv; i < c.sent; i++ {
			due := c.due
			if t.spec.Rate > 0 && t.spec.Churn == 0 {
				due = t.due(uint64(p) + uint64(i)*uint64(len(t.order)))
			}
			t.result.Unanswered++
			if due >= t.from && due < t.until {
				t.result.Latency.Record(now - due)
			}
		}
	}
	// That a server ends connections which do not read is its right: those
	// are counted apart.
	for k, n := range t.e.counts.Closed {
		if d := n - t.base[k] - t.e.deafLost[k]; d > 0 {
			t.result.Errors[k] += d
		}
	}
	t.result.Deaf = uint64(len(t.deaf))
	for _, slot := range t.deaf {
		c := t.e.conns.at(slot)
		if c.state != stateOpen {
			t.result.DeafClosed++
			continue
		}
		if c.flags&flagDeaf == 0 {
			continue // the slot has a new owner
		}
		c.flags &^= flagDeaf
		t.e.read(slot, c, true)
		if c.state != stateOpen {
			t.result.DeafClosed++
		}
	}
	t.e.told = t.e.counts.clone().Closed
}
