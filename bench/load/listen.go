package load

import "time"

// ListenResult says what arrived of messages that others published.
type ListenResult struct {
	Broadcasts []Broadcast `json:"broadcasts"`
	Deliveries uint64      `json:"deliveries"`
	Latency    Hist        `json:"latency"` // of every single delivery
}

// Broadcast is one message that was meant for every connection.
type Broadcast struct {
	Seq       uint64 `json:"seq"`
	Due       int64  `json:"due"`  // CLOCK_MONOTONIC, ns
	Last      int64  `json:"last"` // arrival at the last client so far
	Delivered int    `json:"delivered"`
}

// Took is the time from the intended send to the last client.
func (b Broadcast) Took() time.Duration { return time.Duration(b.Last - b.Due) }

// listening counts broadcasts. It runs on the loop.
type listening struct {
	e        *Engine
	bySeq    map[uint64]*Broadcast
	order    []uint64
	latency  Hist
	total    uint64
	complete func(Broadcast) // called when every connection has one
}

func newListening(e *Engine, complete func(Broadcast)) *listening {
	return &listening{e: e, bySeq: make(map[uint64]*Broadcast), latency: NewHist(), complete: complete}
}

func (l *listening) heard(stamp Stamp) {
	now := l.e.now()
	b := l.bySeq[stamp.Seq]
	if b == nil {
		b = &Broadcast{Seq: stamp.Seq, Due: stamp.Time}
		l.bySeq[stamp.Seq] = b
		l.order = append(l.order, stamp.Seq)
	}
	b.Delivered++
	b.Last = now
	l.total++
	l.latency.Record(now - stamp.Time)
	if b.Delivered == l.e.counts.Open {
		l.complete(*b)
	}
}

func (l *listening) result() ListenResult {
	r := ListenResult{Deliveries: l.total, Latency: l.latency}
	for _, seq := range l.order {
		r.Broadcasts = append(r.Broadcasts, *l.bySeq[seq])
	}
	return r
}
