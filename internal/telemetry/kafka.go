package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
)

var (
	upAccepted    = counter("uplink_accepted_total", "Messages of clients that were accepted for Kafka.")
	upAcked       = counter("uplink_acknowledged_total", "Records that Kafka acknowledged: messages, and the events of sessions.")
	upAckedBytes  = counter("uplink_acknowledged_bytes_total", "Payload bytes of those.")
	upCoalesced   = counter("uplink_coalesced_total", "Messages of medium priority that a later one of their session replaced.")
	upRefused     = counter("uplink_refused_total", "Messages that were refused and ended or may end their session, by reason.", "reason")
	upRetried     = counter("uplink_retried_total", "Records that were produced again after Kafka failed them.")
	upLost        = counter("uplink_lost_total", "Accepted messages that never reached Kafka, by reason: rejected (by Kafka, for good), drain (no time left).", "reason")
	upOutstanding = gauge("uplink_buffered_records", "Messages that were accepted and that Kafka has not acknowledged.")
	upBuffered    = gauge("uplink_buffered_bytes", "Memory of those.")
	upHeld        = gauge("uplink_held_values", "Sessions whose latest value of medium priority waits for room.")
	upEvents      = gauge("uplink_owed_events", "Ends of sessions whose event waits for room.")
	upNoEvent     = counter("uplink_refused_events_total", "Events of sessions for which there was no room.")
	upLatency     = distribution("produce_duration_seconds", "Time from the acceptance of a message to Kafka's acknowledgement, to a millisecond.")

	downRecords   = counter("downlink_records_total", "Records of the topic downlink that were handed on.")
	downMalformed = counter("downlink_malformed_total", "Of those: no push, left out.")
	downMember    = gauge("downlink_member", "1 while the consumer group of the topic downlink has this node as a member, else 0.")
	lag           = gauge("kafka_lag_records", "Records of a partition consumed here that were read by Kafka's clients or are known to be written, and are not handed on.", "topic", "partition")

	routed = counter("pushes_total", "Pushes by what became of them here.", "result")

	busOther = counter("bus_exceptions_total", "Pushes that did not take the straight way between nodes: blind and unleased went to all nodes, since the directory could not say who is where or the node has no inbox; followed were for a dead node, ignored for another one; refused and failed the bus did not take; malformed no node wrote.", "kind")

	kConnects   = counter("kafka_connects_total", "Connections to brokers.", "result")
	kDisconnect = counter("kafka_disconnects_total", "Connections to brokers that ended.")
	kRequests   = counter("kafka_requests_total", "Requests to brokers.", "result")
	kBytes      = counter("kafka_bytes_total", "Bytes on connections to brokers.", "direction")
	kThrottled  = counter("kafka_throttled_seconds_total", "Time for which brokers asked to be left alone.")
	kLatency    = distribution("kafka_request_duration_seconds", "Time from writing a request to its answer, the waiting of consumers included.")
)

var kafkaFamilies = []family{upAccepted, upAcked, upAckedBytes, upCoalesced, upRefused, upRetried, upLost, upOutstanding,
	upBuffered, upHeld, upEvents, upNoEvent, upLatency, downRecords, downMalformed, downMember, lag, routed, busOther, kConnects, kDisconnect, kRequests,
	kBytes, kThrottled, kLatency}

func collectUplink(to chan<- prometheus.Metric, uplink *bridge.Uplink) {
	s := uplink.Stats()
	send(to, upAccepted, s.Accepted)
	send(to, upAcked, s.Acked)
	send(to, upAckedBytes, s.AckedBytes)
	send(to, upCoalesced, s.Coalesced)
	send(to, drops, s.DroppedLow, "in", session.Low.String(), "uplink_full")
	send(to, drops, s.DroppedLoad, "in", session.Low.String(), "overload")
	send(to, drops, s.DroppedMed, "in", session.Medium.String(), "uplink_full")
	send(to, upRefused, s.Refused, "full")
	send(to, upRefused, s.TooLarge, "too_large")
	send(to, upRetried, s.Retried)
	send(to, upLost, s.Rejected, "rejected")
	send(to, upLost, s.Lost, "drain")
	send(to, upOutstanding, s.Outstanding)
	send(to, upBuffered, s.BufferedBytes)
	send(to, upHeld, s.HeldValues)
	send(to, upEvents, s.OwedEvents)
	send(to, upNoEvent, s.RefusedEvents)
	sendHistogram(to, upLatency, s.Latency)
}

func collectDownlink(to chan<- prometheus.Metric, downlink *bridge.Downlink) {
	s := downlink.Stats()
	send(to, downRecords, s.Records)
	send(to, downMalformed, s.Malformed)
	member := 0
	if downlink.Member() {
		member = 1
	}
	send(to, downMember, member)
}

func collectRouter(to chan<- prometheus.Metric, router *bridge.Router) {
	s := router.Stats()
	send(to, routed, s.Delivered, "delivered")
	send(to, routed, s.Forwarded, "forwarded")
	send(to, routed, s.Spread, "spread")
	send(to, routed, s.Moved, "moved")
	send(to, routed, s.Duplicates, "duplicate")
	send(to, routed, s.Expired, "expired")
	send(to, routed, s.Offline, "offline")
	send(to, routed, s.Full, "full")
	send(to, routed, s.Failed, "failed")
}

func collectBus(to chan<- prometheus.Metric, s bridge.BusStats, r bridge.RouterStats) {
	send(to, busOther, r.Blind, "blind")
	send(to, busOther, s.Unleased, "unleased")
	send(to, busOther, s.Followed, "followed")
	send(to, busOther, s.Ignored, "ignored")
	send(to, busOther, s.Refused, "refused")
	send(to, busOther, s.Failed, "failed")
	send(to, busOther, s.Malformed, "malformed")
}

func collectTraffic(to chan<- prometheus.Metric, traffic *bridge.Traffic) {
	s := traffic.Stats()
	send(to, kConnects, s.Connects, "ok")
	send(to, kConnects, s.ConnectErrors, "error")
	send(to, kDisconnect, s.Disconnects)
	send(to, kRequests, s.Requests-s.RequestErrors, "ok")
	send(to, kRequests, s.RequestErrors, "error")
	send(to, kBytes, s.BytesWritten, "out")
	send(to, kBytes, s.BytesRead, "in")
	send(to, kThrottled, s.Throttled.Seconds())
	sendHistogram(to, kLatency, s.Latency)
}
