package bridge

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/histogram"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Traffic counts what the clients of one process have to do with the brokers.
// Put the same one into the Kafka of each. The zero value is ready; any
// goroutine.
//
// The library's own plug-in for Prometheus is not used: it would take
// client_golang into this package, and it names gauges as counters.
type Traffic struct {
	connects, connectErrors, disconnects atomic.Uint64
	requests, requestErrors              atomic.Uint64
	written, read                        atomic.Uint64
	throttled                            atomic.Int64
	latency                              histogram.Durations
}

// TrafficStats is a snapshot of a Traffic.
type TrafficStats struct {
	Connects      uint64
	ConnectErrors uint64
	Disconnects   uint64
	Requests      uint64 // answered or failed
	RequestErrors uint64 // not written, or not answered
	BytesWritten  uint64
	BytesRead     uint64
	Throttled     time.Duration      // that brokers asked for
	Latency       histogram.Snapshot // seconds, of requests, long polls of consumers included
}

// Stats may be called from any goroutine.
func (t *Traffic) Stats() TrafficStats {
	return TrafficStats{
		Connects: t.connects.Load(), ConnectErrors: t.connectErrors.Load(), Disconnects: t.disconnects.Load(),
		Requests: t.requests.Load(), RequestErrors: t.requestErrors.Load(),
		BytesWritten: t.written.Load(), BytesRead: t.read.Load(),
		Throttled: time.Duration(t.throttled.Load()), Latency: t.latency.Snapshot(),
	}
}

// trafficHooks keep the library's call-backs out of Traffic's methods.
type trafficHooks struct{ t *Traffic }

var (
	_ kgo.HookBrokerConnect    = trafficHooks{}
	_ kgo.HookBrokerDisconnect = trafficHooks{}
	_ kgo.HookBrokerE2E        = trafficHooks{}
	_ kgo.HookBrokerThrottle   = trafficHooks{}
)

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (h trafficHooks) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		h.t.connectErrors.Add(1)
		return
	}
	h.t.connects.Add(1)
}

// OnBrokerDisconnect implements kgo.HookBrokerDisconnect.
func (h trafficHooks) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { h.t.disconnects.Add(1) }

// OnBrokerE2E implements kgo.HookBrokerE2E: a request was answered or failed.
func (h trafficHooks) OnBrokerE2E(_ kgo.BrokerMetadata, _ int16, e kgo.BrokerE2E) {
	h.t.requests.Add(1)
	h.t.written.Add(uint64(e.BytesWritten))
	h.t.read.Add(uint64(e.BytesRead))
	if e.Err() != nil {
		h.t.requestErrors.Add(1)
		return
	}
	h.t.latency.Observe(e.DurationE2E())
}

// OnBrokerThrottle implements kgo.HookBrokerThrottle.
func (h trafficHooks) OnBrokerThrottle(_ kgo.BrokerMetadata, d time.Duration, _ bool) {
	h.t.throttled.Add(int64(d))
}
