package live

import (
	"time"

	"github.com/limpet-gateway/limpet/internal/telemetry"
)

// Rates are what happened per second between two snapshots.
type Rates struct {
	Accepted, Opened, Closed, Refused float64
	MessagesIn, MessagesOut           float64
	BytesIn, BytesOut                 float64
	Dropped                           float64
	// Produce is the mean time from acceptance to Kafka's acknowledgement, 0
	// where nothing was acknowledged.
	Produce time.Duration
}

// Between returns the rates from a to b. They are zero where the gateway
// started again in between, or no time passed.
func Between(a, b telemetry.Snapshot) Rates {
	seconds := b.Time.Sub(a.Time).Seconds()
	if seconds <= 0 || b.UptimeSeconds < a.UptimeSeconds || a.Node != b.Node {
		return Rates{}
	}
	rate := func(from, to uint64) float64 {
		if to < from {
			return 0
		}
		return float64(to-from) / seconds
	}
	r := Rates{
		Accepted:    rate(a.Accepted, b.Accepted),
		Opened:      rate(a.Opened, b.Opened),
		Closed:      rate(sum(a.Closed), sum(b.Closed)),
		Refused:     rate(sum(a.Refused), sum(b.Refused)),
		MessagesIn:  rate(a.Messages.In, b.Messages.In),
		MessagesOut: rate(a.Messages.Out, b.Messages.Out),
		BytesIn:     rate(a.Bytes.In, b.Bytes.In),
		BytesOut:    rate(a.Bytes.Out, b.Bytes.Out),
		Dropped:     rate(a.Dropped, b.Dropped),
	}
	if a.Uplink != nil && b.Uplink != nil && b.Uplink.Acknowledged > a.Uplink.Acknowledged {
		spent := b.Uplink.LatencySum - a.Uplink.LatencySum
		r.Produce = time.Duration(spent / float64(b.Uplink.Acknowledged-a.Uplink.Acknowledged) * float64(time.Second))
	}
	return r
}

func sum(counts map[string]uint64) uint64 {
	var n uint64
	for _, c := range counts {
		n += c
	}
	return n
}
