package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
)

// publisherWorker is the worker number in the stamps of broadcasts.
const publisherWorker = 4095

// fanout publishes to all connections, with each number in flight in turn.
func fanout(ctx context.Context, t *trial) error {
	b, err := t.broadcaster(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	if _, err := t.dial(ctx, t.opt.Conns); err != nil {
		return err
	}
	p := &publisher{t: t, b: b, seq: publisherWorker << 36}
	for _, n := range t.opt.InFlight {
		if err := t.quiet(ctx); err != nil {
			return err
		}
		if err := p.part(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// broadcaster asks the server itself, or what cmd has handed in for limpet.
func (t *trial) broadcaster(ctx context.Context) (Broadcaster, error) {
	if t.server.Broadcasts {
		return t.server.OpenCommand(ctx, t.opt.Timeout)
	}
	if t.opt.Join.Broadcaster == nil {
		return nil, fmt.Errorf("%s cannot be asked to broadcast: this build knows no way", t.server.Name)
	}
	return t.opt.Join.Broadcaster(ctx, t.server)
}

// publisher keeps a number of broadcasts in flight.
type publisher struct {
	t       *trial
	b       Broadcaster
	seq     uint64
	payload []byte
	waiting map[uint64]int // broadcasts under way: client processes that miss it
}

// part measures with n in flight: a warm-up, then the time that counts. Both
// begin and end with nothing under way, so that the CPU time of the window
// belongs to its broadcasts and to nothing else.
func (p *publisher) part(ctx context.Context, n int) error {
	t := p.t
	name := fmt.Sprintf("%d in flight", n)
	if err := p.publish(ctx, n, t.opt.Warmup); err != nil {
		return err
	}
	t.rec.enter(name)
	if err := t.fleet.Listen(ctx); err != nil {
		return err
	}
	w := t.open()
	failed := p.publish(ctx, n, t.opt.Duration)
	phase := w.close(name)
	heard, err := t.fleet.Heard(context.WithoutCancel(ctx))
	if err != nil {
		return errors.Join(failed, err)
	}
	phase.Messages = heard.Deliveries
	if heard.Deliveries > 0 {
		phase.PerMessage = phase.ServerCPU / float64(heard.Deliveries)
	}
	t.out.Phases = append(t.out.Phases, phase)
	if t.losses() {
		return errFaults
	}
	t.fanoutFigures(n, heard, phase)
	return failed
}

// losses says which connections were lost. Nobody has asked for their end, so
// that what the others have is not the answer.
func (t *trial) losses() bool {
	closed := t.fleet.Stats().Closed
	if load.Total(closed) == 0 {
		return false
	}
	if len(t.out.Faults) == 0 {
		t.explain(closed, fmt.Sprintf("%d connections were lost", load.Total(closed)))
	}
	return true
}

// publish runs for d and returns when nothing is under way any more.
func (p *publisher) publish(ctx context.Context, n int, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := p.t
	t.rec.enter(fmt.Sprintf("%d in flight", n))
	if err := t.fleet.Listen(ctx); err != nil {
		return err
	}
	p.waiting = make(map[uint64]int)
	until := time.Now().Add(d)
	slow := time.NewTimer(t.opt.Timeout)
	defer slow.Stop()
	for {
		for time.Now().Before(until) && len(p.waiting) < n {
			if err := p.send(ctx, n); err != nil {
				return err
			}
		}
		if len(p.waiting) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-t.fleet.Complete():
			left, ok := p.waiting[b.Seq]
			if !ok {
				continue // of an earlier part
			}
			if p.waiting[b.Seq] = left - 1; left == 1 {
				delete(p.waiting, b.Seq)
				slow.Reset(t.opt.Timeout)
			}
		case <-slow.C:
			if t.losses() {
				return errFaults
			}
			t.fault("see the server's log: it may drop messages to clients that it takes for slow",
				"a broadcast had not reached all of %d clients after %v", t.fleet.Stats().Open, t.opt.Timeout)
			return errFaults
		}
	}
}

// send publishes one broadcast more, beside at most n-1 under way.
func (p *publisher) send(ctx context.Context, n int) error {
	awaited := p.b.Await(ctx, n)
	p.seq++
	stamp := load.Stamp{Seq: p.seq, Time: load.Now()}
	p.payload, _ = stamp.AppendText(p.payload[:0])
	for len(p.payload) < p.t.opt.Size {
		p.payload = append(p.payload, 'x')
	}
	p.waiting[p.seq] = p.t.fleet.Size()
	err := errors.Join(awaited, p.b.Publish(ctx, p.payload))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	p.t.fault("see the server's log: a server that sends a broadcast to its publisher too may have ended that connection for not reading fast enough; lower --in-flight",
		"publish a broadcast: %v", err)
	return errFaults
}

// fanoutFigures reports one part. A broadcast that did not reach everybody
// gives no time.
func (t *trial) fanoutFigures(n int, heard load.ListenResult, p report.Phase) {
	all := load.NewHist()
	open := t.fleet.Stats().Open
	for _, b := range heard.Broadcasts {
		t.out.Broadcasts = append(t.out.Broadcasts, report.Broadcast{
			InFlight: n, Delivered: b.Delivered, Expected: open, TookNanos: int64(b.Took()),
		})
		if b.Delivered >= open {
			all.Record(int64(b.Took()))
		}
	}
	name, label := fmt.Sprintf("fanout_%d", n), fmt.Sprintf("%d in flight: ", n)
	t.latency(label+"last client", all)
	t.latency(label+"every delivery", heard.Latency)
	if all.TotalCount() == 0 {
		return
	}
	t.percentile(name+"_last_p50", label+"until the last client, p50", all, 50)
	t.percentile(name+"_last_p99", label+"until the last client, p99", all, 99)
	t.figure(report.Figure{Name: name + "_rate", Label: label + "deliveries per second", Unit: "/s", Better: report.Higher, Value: float64(p.Messages) / p.Seconds})
	t.cpuFigure(name+"_cpu", label+"server CPU per delivery", p)
}
