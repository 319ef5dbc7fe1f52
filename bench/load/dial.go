package load

import (
	"container/heap"
	"math"
	"time"
)

// DialSpec asks for more connections.
type DialSpec struct {
	Count    int     `json:"count"`
	Rate     float64 `json:"rate"`      // per second; 0: as fast as they open
	InFlight int     `json:"in_flight"` // dials under way at most
	// Bunch has dials that fall due within it start together: a sleep less for
	// each, where nobody looks at their latency.
	Bunch   time.Duration `json:"bunch_ns"`
	Timeout time.Duration `json:"timeout_ns"`
	// Retry makes a refused dial come back after the server's Retry-After, or
	// after a jittered and doubling pause, until Deadline.
	Retry    bool          `json:"retry"`
	Deadline time.Duration `json:"deadline_ns"`
}

// DialResult says what became of a DialSpec.
type DialResult struct {
	Opened   int               `json:"opened"`
	Failed   int               `json:"failed"` // given up
	Refusals map[string]uint64 `json:"refusals"`
	Aborted  bool              `json:"aborted"` // nothing opened any more: the rest was not tried
	Start    int64             `json:"start"`   // CLOCK_MONOTONIC, ns
	End      int64             `json:"end"`     // of the last success
	Latency  Hist              `json:"latency"` // from the intended start to the 101
}

const (
	// DefaultInFlight stays below the accept queue that net.core.somaxconn
	// allows by default (4,096).
	DefaultInFlight = 256
	// DefaultTimeout is what the server gets to answer an upgrade.
	DefaultTimeout = 10 * time.Second

	giveUpAfter    = 200 // failures in a row after which nothing more is tried
	giveUpAtStart  = 20  // the same before the first success
	retryFirst     = 100 * time.Millisecond
	retryMost      = 5 * time.Second
	timeoutSlots   = 64 // entries of the queue looked at per step
	burstPerStep   = 64 // dials started before events are looked at again
	retriesInOrder = 7  // doublings of the pause
)

// dialing opens connections at a rate. It runs on the loop.
type dialing struct {
	e        *Engine
	spec     DialSpec
	result   DialResult
	started  int
	inFlight int
	inARow   int // failures since the last success
	queue    []pending
	again    retries // refused dials that come back
	tries    map[uint32]retry
	cancel   bool
}

type pending struct {
	slot     uint32
	gen      uint16
	deadline int64
}

// retry is one dial: when to try it, and since when it has been due.
type retry struct {
	at, due int64
	attempt int
}

// retries is a heap by time.
type retries []retry

func (h retries) Len() int           { return len(h) }
func (h retries) Less(i, j int) bool { return h[i].at < h[j].at }
func (h retries) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *retries) Push(x any)        { *h = append(*h, x.(retry)) }
func (h *retries) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

func newDialing(e *Engine, spec DialSpec) *dialing {
	if spec.InFlight <= 0 {
		spec.InFlight = DefaultInFlight
	}
	if spec.Timeout <= 0 {
		spec.Timeout = DefaultTimeout
	}
	return &dialing{
		e: e, spec: spec, tries: make(map[uint32]retry),
		result: DialResult{Start: e.now(), Refusals: make(map[string]uint64), Latency: NewHist()},
	}
}

// step starts what is due and times out what took too long.
func (d *dialing) step(now int64) (int64, bool) {
	d.expire(now)
	giveUp := d.hopeless() || (d.spec.Deadline > 0 && now > d.result.Start+int64(d.spec.Deadline))
	if giveUp || d.cancel {
		d.result.Aborted = d.result.Aborted || d.started < d.spec.Count || len(d.again) > 0
		d.result.Failed += len(d.again)
		d.spec.Count, d.again = d.started, nil
		d.spec.Retry = false
		if d.cancel {
			d.abandon()
			return now, true
		}
	}
	next := int64(math.MaxInt64)
	for burst := 0; d.inFlight < d.spec.InFlight; burst++ {
		if burst == burstPerStep {
			return now, false
		}
		r, at, ok := d.next(now)
		if !ok {
			next = at
			break
		}
		d.start(r, now)
	}
	if next != math.MaxInt64 && d.spec.Bunch > 0 {
		next = max(next, now+int64(d.spec.Bunch))
	}
	if d.inFlight > 0 {
		next = min(next, now+int64(maxWait))
	}
	return next, d.inFlight == 0 && d.started == d.spec.Count && len(d.again) == 0
}

// next takes the dial that is due, or says when one will be.
func (d *dialing) next(now int64) (r retry, at int64, ok bool) {
	at = math.MaxInt64
	if len(d.again) > 0 {
		if at = d.again[0].at; at <= now {
			return heap.Pop(&d.again).(retry), 0, true
		}
	}
	if d.started == d.spec.Count {
		return r, at, false
	}
	due := now
	if d.spec.Rate > 0 {
		due = d.result.Start + int64(float64(d.started)/d.spec.Rate*1e9)
	}
	if due > now {
		return r, min(at, due), false
	}
	d.started++
	return retry{at: due, due: due}, 0, true
}

func (d *dialing) start(r retry, now int64) {
	d.e.lag.Record(now - r.at)
	slot, kind := d.e.open(d, r.due)
	if kind != "" {
		d.e.counts.Failed[kind]++
		d.failure(r, kind, 0)
		return
	}
	d.inFlight++
	if d.spec.Retry {
		d.tries[slot] = r
	}
	c := d.e.conns.at(slot)
	d.queue = append(d.queue, pending{slot, c.gen, now + int64(d.spec.Timeout)})
	// Over loopback the handshake is often complete when connect returns.
	d.e.request(slot, c)
}

// abandon closes what is not open yet, so that nothing touches the result
// after it has been handed over.
func (d *dialing) abandon() {
	for slot, owner := range d.e.dialers {
		if owner == d {
			delete(d.e.dialers, slot)
			d.e.release(slot, d.e.conns.at(slot))
		}
	}
}

// expire looks at the head of the queue, which is in order of deadlines.
func (d *dialing) expire(now int64) {
	for range timeoutSlots {
		if len(d.queue) == 0 {
			d.queue = nil
			return
		}
		p := d.queue[0]
		c := d.e.conns.at(p.slot)
		dead := c.gen == p.gen && c.state != stateOpen && c.state != stateFree
		if dead && now < p.deadline {
			return
		}
		d.queue = d.queue[1:]
		if dead {
			d.e.fail(p.slot, c, KindTimeout)
		}
	}
}

func (d *dialing) opened(slot uint32, due int64) {
	now := d.e.now()
	d.inFlight--
	d.inARow = 0
	d.result.Opened++
	d.result.End = now
	d.result.Latency.Record(now - due)
	delete(d.tries, slot)
}

func (d *dialing) failed(slot uint32, kind string, retryAfterMs int) {
	d.inFlight--
	r := d.tries[slot]
	delete(d.tries, slot)
	d.failure(r, kind, retryAfterMs)
}

func (d *dialing) failure(r retry, kind string, retryAfterMs int) {
	d.inARow++
	d.result.Refusals[kind]++
	if !d.spec.Retry {
		d.result.Failed++
		return
	}
	pause := int64(retryAfterMs) * int64(time.Millisecond)
	if pause == 0 {
		most := min(int64(retryFirst)<<min(r.attempt, retriesInOrder), int64(retryMost))
		pause = most/2 + d.e.rng.Int64N(most/2+1)
	}
	r.at, r.attempt = d.e.now()+pause, r.attempt+1
	heap.Push(&d.again, r)
}

// hopeless: the server is not there, or no longer. With Retry only the
// deadline ends the attempt.
func (d *dialing) hopeless() bool {
	if d.spec.Retry {
		return false
	}
	return d.inARow >= giveUpAfter || (d.result.Opened == 0 && d.inARow >= giveUpAtStart)
}
