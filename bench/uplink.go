package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
)

// uplink sends one way and counts what arrives in Kafka.
func uplink(ctx context.Context, t *trial) error {
	if t.opt.Join.Uplink == nil || t.server.API == "" {
		t.fault("use --spawn limpet", "%s has no uplink that this benchmark can read", t.server.Name)
		return errFaults
	}
	reader, err := t.opt.Join.Uplink(ctx, t.server)
	if err != nil {
		return err
	}
	if _, err := t.dial(ctx, t.opt.Conns); err != nil {
		return err
	}
	seen := newArrivals()
	readCtx, stop := context.WithCancel(ctx)
	defer stop()
	ready := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- reader.Read(readCtx, sync.OnceFunc(func() { close(ready) }), seen.note) }()
	select {
	case <-ready:
	case err := <-ended:
		return fmt.Errorf("read the uplink: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
	r, phase, err := t.drive(ctx, "uplink", load.TrafficSpec{
		Rate: t.opt.MsgRate, Warmup: t.opt.Warmup, Duration: t.opt.Duration, Size: t.opt.Size, OneWay: true,
	})
	if err == nil {
		err = seen.waitFor(ctx, r.Sent, t.opt.Timeout)
	}
	stop()
	<-ended
	t.uplinkFigures(seen, r, phase, err == nil)
	if err != nil {
		return err
	}
	if load.Total(r.Errors) > 0 {
		t.explain(r.Errors, "errors in uplink")
		return errFaults
	}
	if lost := r.Sent - min(r.Sent, seen.distinct()); lost > 0 {
		t.fault("see the server's log and its counters of refused and dropped messages", "%d of %d messages did not reach Kafka", lost, r.Sent)
		return errFaults
	}
	return nil
}

// uplinkFigures reports what has arrived. awaited says that the rest had its
// time to come: before that nothing is lost.
func (t *trial) uplinkFigures(seen *arrivals, r load.TrafficResult, p report.Phase, awaited bool) {
	seen.mu.Lock()
	defer seen.mu.Unlock()
	took := p.Seconds + t.opt.Warmup.Seconds()
	t.figure(report.Figure{Name: "uplink_rate", Label: "messages per second into Kafka", Unit: "/s", Better: report.Higher, Value: float64(seen.count) / max(took, seen.last.Sub(seen.first).Seconds())})
	t.figure(report.Figure{Name: "uplink_sent", Label: "messages sent", Unit: "count", Value: float64(r.Sent)})
	if awaited {
		t.figure(report.Figure{Name: "uplink_lost", Label: "messages lost", Unit: "count", Better: report.Lower, Value: float64(r.Sent) - float64(seen.count)})
	}
	t.figure(report.Figure{Name: "uplink_duplicates", Label: "messages twice", Unit: "count", Better: report.Lower, Value: float64(seen.twice)})
	sent := p.Seconds / took * float64(r.Sent)
	if t.server.PID != 0 && sent > 0 {
		t.figure(report.Figure{Name: "uplink_cpu", Label: "server CPU per message", Unit: "s", Better: report.Lower, Value: p.ServerCPU / sent})
	}
	t.latency("into Kafka and back", seen.latency)
	t.percentiles("uplink", "into Kafka and back", seen.latency)
}

// arrivals counts stamps. It is safe for concurrent use.
type arrivals struct {
	mu      sync.Mutex
	seen    map[uint64][]uint64 // guarded by mu: worker → bit set of its counts
	count   uint64              // guarded by mu: distinct
	twice   uint64              // guarded by mu
	first   time.Time           // guarded by mu
	last    time.Time           // guarded by mu
	latency load.Hist           // guarded by mu
}

func newArrivals() *arrivals {
	return &arrivals{seen: make(map[uint64][]uint64), latency: load.NewHist()}
}

// maxCount bounds the bit set of one worker at 128 MiB.
const maxCount = 1 << 30

func (a *arrivals) note(payload []byte) {
	stamp, ok := load.ParseStamp(payload)
	worker, n := stamp.Seq>>36, stamp.Seq&(1<<36-1)
	if !ok || n >= maxCount {
		return // not a message of this run
	}
	now := load.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	bits := a.seen[worker]
	for uint64(len(bits)) <= n/64 {
		bits = append(bits, 0)
	}
	a.seen[worker] = bits
	if bits[n/64]&(1<<(n%64)) != 0 {
		a.twice++
		return
	}
	bits[n/64] |= 1 << (n % 64)
	if a.count++; a.count == 1 {
		a.first = time.Now()
	}
	a.last = time.Now()
	a.latency.Record(now - stamp.Time)
}

func (a *arrivals) distinct() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
}

// waitFor returns once n distinct messages have arrived, or none has for d.
func (a *arrivals) waitFor(ctx context.Context, n uint64, d time.Duration) error {
	last, since := a.distinct(), time.Now()
	for last < n && time.Since(since) < d {
		if err := hold(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		if now := a.distinct(); now != last {
			last, since = now, time.Now()
		}
	}
	return nil
}
