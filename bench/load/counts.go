package load

// Counts is what an engine has seen since it began. Fields ending in a kind
// are keyed by the Kind constants.
type Counts struct {
	Open      int               `json:"open"`
	Dialing   int               `json:"dialing"`
	Opened    uint64            `json:"opened"`
	Failed    map[string]uint64 `json:"failed"` // dials, by kind
	Closed    map[string]uint64 `json:"closed"` // open connections lost, by kind
	Sent      uint64            `json:"sent"`   // messages
	Received  uint64            `json:"received"`
	Unstamped uint64            `json:"unstamped"` // received, but nothing a benchmark sent
	Pings     uint64            `json:"pings"`     // answered
	BytesIn   uint64            `json:"bytes_in"`
	BytesOut  uint64            `json:"bytes_out"`
}

func newCounts() Counts {
	return Counts{Failed: make(map[string]uint64), Closed: make(map[string]uint64)}
}

// clone is a copy that shares nothing.
func (c Counts) clone() Counts {
	out := newCounts()
	out.Add(c)
	return out
}

// Add adds o, the counts of another engine or an earlier time.
func (c *Counts) Add(o Counts) {
	c.Open += o.Open
	c.Dialing += o.Dialing
	c.Opened += o.Opened
	c.Sent += o.Sent
	c.Received += o.Received
	c.Unstamped += o.Unstamped
	c.Pings += o.Pings
	c.BytesIn += o.BytesIn
	c.BytesOut += o.BytesOut
	addKinds(&c.Failed, o.Failed)
	addKinds(&c.Closed, o.Closed)
}

func addKinds(dst *map[string]uint64, src map[string]uint64) {
	if *dst == nil {
		*dst = make(map[string]uint64)
	}
	for k, n := range src {
		(*dst)[k] += n
	}
}

// Total sums the counts of all kinds.
func Total(kinds map[string]uint64) (n uint64) {
	for _, k := range kinds {
		n += k
	}
	return n
}
