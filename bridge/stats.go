package bridge

import (
	"sync/atomic"

	"github.com/limpet-gateway/limpet/internal/histogram"
)

// UplinkStats is a snapshot of an uplink's counters since it started, and of
// its gauges.
type UplinkStats struct {
	Accepted    uint64 `json:"accepted"`           // messages that will reach Kafka, coalesced ones included
	Acked       uint64 `json:"acknowledged"`       // records that Kafka acknowledged
	AckedBytes  uint64 `json:"acknowledged_bytes"` // of their payloads
	Coalesced   uint64 `json:"coalesced"`          // medium messages that a later one of the session replaced
	DroppedLow  uint64 `json:"dropped_low"`        // low messages for which there was no room
	DroppedLoad uint64 `json:"dropped_load"`       // low messages that Relief.DropLow dropped
	DroppedMed  uint64 `json:"dropped_medium"`     // medium messages for which there was no room even as a latest value
	Refused     uint64 `json:"refused"`            // high messages for which there was no room
	TooLarge    uint64 `json:"too_large"`          // messages refused for their size
	Retried     uint64 `json:"retried"`            // records that were produced again after Kafka failed them
	Rejected    uint64 `json:"rejected"`           // records that Kafka rejected for good
	Lost        uint64 `json:"lost"`               // records given up because the time to drain was over

	Events        uint64 `json:"events"`         // accepted; Acked and what follows it count their records too
	RefusedEvents uint64 `json:"refused_events"` // events for which there was no room

	Outstanding   int64 `json:"outstanding"`    // accepted, neither acknowledged nor given up
	BufferedBytes int64 `json:"buffered_bytes"` // memory of those
	HeldValues    int64 `json:"held_values"`    // sessions with a held latest value
	OwedEvents    int64 `json:"owed_events"`    // ends of sessions that wait for room

	// Latency from acceptance to Kafka's acknowledgement, in seconds. It is taken from the
	// time of the record, so it is good to a millisecond.
	Latency histogram.Snapshot `json:"latency_seconds"`
}

// uplinkCounters are updated from the loops and from the client's call-backs;
// the two groups are kept on different cache lines.
type uplinkCounters struct {
	accepted, coalesced, droppedLow, droppedLoad, droppedMed, refused, tooLarge, events, refusedEvents atomic.Uint64
	_                                                                                                  [64]byte
	acked, ackedBytes, retried, rejected, lost                                                         atomic.Uint64
	_                                                                                                  [64]byte
	outstanding, heldValues, owedEvents                                                                atomic.Int64
	latency                                                                                            histogram.Durations
}

// Stats may be called from any goroutine.
func (u *Uplink) Stats() UplinkStats {
	c := &u.count
	return UplinkStats{
		Accepted: c.accepted.Load(), Acked: c.acked.Load(), AckedBytes: c.ackedBytes.Load(),
		Coalesced: c.coalesced.Load(), DroppedLow: c.droppedLow.Load(), DroppedLoad: c.droppedLoad.Load(), DroppedMed: c.droppedMed.Load(),
		Refused: c.refused.Load(), TooLarge: c.tooLarge.Load(), Retried: c.retried.Load(),
		Rejected: c.rejected.Load(), Lost: c.lost.Load(),
		Outstanding: c.outstanding.Load(), BufferedBytes: u.budget.total(), HeldValues: c.heldValues.Load(),
		Events: c.events.Load(), RefusedEvents: c.refusedEvents.Load(), OwedEvents: c.owedEvents.Load(), Latency: c.latency.Snapshot(),
	}
}
