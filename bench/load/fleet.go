package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// MaxConnsPerWorker is how many connections one client process takes at
// most. It leaves room below the 20,000 descriptors that many hosts allow.
const MaxConnsPerWorker = 17_500

const (
	reserveFiles = 100 // descriptors of a worker that are no connections
	maxWorkers   = 512
	reporters    = 16                    // workers above which each reports less often
	idsPerWorker = 100_000_000           // connection numbers, so that no two processes share one
	maxComplete  = 2048                  // completed broadcasts per worker that nobody has taken yet
	cancelGrace  = 10 * time.Second      // for partial results after a cancel
	startDelay   = 50 * time.Millisecond // so that all processes begin together
	startGrace   = 20 * time.Second      // for a worker to say that it is ready
)

// FleetConfig says how to start client processes and whom they talk to.
type FleetConfig struct {
	Command []string // of a worker: a program that calls RunWorker
	Env     []string // added to the environment
	Addr    netip.AddrPort
	Host    string
	Target  string
	Seed    uint64
	Conns   int // connections that will be open at most
	Workers int // processes; 0: as many as Conns needs
}

// WorkersFor is how many processes conns connections need when each may open
// nofile descriptors. It fails when that is more than a host can bear.
func WorkersFor(conns int, nofile uint64) (int, error) {
	per := MaxConnsPerWorker
	if nofile < uint64(per+reserveFiles) {
		per = int(nofile) - reserveFiles
	}
	if per <= 0 {
		return 0, fmt.Errorf("the descriptor limit of %d leaves no room for connections: raise it (ulimit -n 20000, or LimitNOFILE= of the service) and run again", nofile)
	}
	n := (conns + per - 1) / per
	if n > maxWorkers {
		return 0, fmt.Errorf("%d connections need %d client processes under the descriptor limit of %d, more than %d: raise it (ulimit -n) or ask for fewer connections", conns, n, nofile, maxWorkers)
	}
	return max(n, 1), nil
}

// Fleet is a set of client processes that act as one.
type Fleet struct {
	workers  []*process
	complete chan Broadcast // news of listening workers

	mu     sync.Mutex
	nextID int // guarded by mu
}

// StartFleet starts the processes. Close the fleet when done.
func StartFleet(ctx context.Context, cfg FleetConfig) (*Fleet, error) {
	need, err := WorkersFor(cfg.Conns, noFile())
	if err != nil {
		return nil, err
	}
	n := max(need, cfg.Workers)
	f := &Fleet{complete: make(chan Broadcast, maxComplete*n)}
	perSource := cfg.Conns/n/ConnsPerSource + 1
	for i := range n {
		w, err := startProcess(cfg.Command, cfg.Env, Config{
			Addr: cfg.Addr, Host: cfg.Host, Target: cfg.Target,
			Sources: Sources(cfg.Addr.Addr(), i*perSource, perSource),
			Seed:    cfg.Seed + uint64(i), Worker: i, FirstID: i * idsPerWorker,
			Report: StatsEvery * time.Duration(1+n/reporters),
		}, f.complete)
		if err != nil {
			f.Close()
			return nil, err
		}
		f.workers = append(f.workers, w)
	}
	ctx, cancel := context.WithTimeout(ctx, startGrace)
	defer cancel()
	for _, w := range f.workers {
		if err := w.waitReady(ctx); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Size is the number of client processes.
func (f *Fleet) Size() int { return len(f.workers) }

// Close ends the processes and with them every connection.
func (f *Fleet) Close() {
	var all sync.WaitGroup
	for _, w := range f.workers {
		all.Go(w.stop)
	}
	all.Wait()
}

// Stats sums the latest reports.
func (f *Fleet) Stats() Stats {
	sum := Stats{Counts: newCounts()}
	for _, w := range f.workers {
		s := w.stats()
		sum.Add(s.Counts)
		sum.CPU += s.CPU
		sum.RSS += s.RSS
		sum.LoopCPU = max(sum.LoopCPU, s.LoopCPU)
		sum.LagP99 = max(sum.LagP99, s.LagP99)
	}
	return sum
}

// Complete delivers, for each broadcast, one value from every worker all of
// whose connections have it.
func (f *Fleet) Complete() <-chan Broadcast { return f.complete }

// Dial opens spec.Count more connections, spread over the processes. When
// ctx ends it returns what was reached by then together with ctx's error.
func (f *Fleet) Dial(ctx context.Context, spec DialSpec) (DialResult, error) {
	total := DialResult{Refusals: make(map[string]uint64), Latency: NewHist()}
	n := len(f.workers)
	replies, err := f.ask(ctx, func(i int) request {
		part := spec
		part.Count = share(spec.Count, n, i)
		part.Rate = spec.Rate / float64(n)
		part.InFlight = max(spec.InFlight/n, min(spec.InFlight, 1))
		return request{Op: "dial", Dial: &part}
	})
	for _, r := range replies {
		d := r.Dial
		if d == nil {
			continue
		}
		total.Opened += d.Opened
		total.Failed += d.Failed
		total.Aborted = total.Aborted || d.Aborted
		addKinds(&total.Refusals, d.Refusals)
		if total.Start == 0 || d.Start < total.Start {
			total.Start = d.Start
		}
		total.End = max(total.End, d.End)
		total.Latency.Merge(d.Latency.Histogram)
	}
	return total, err
}

// Traffic drives messages over the open connections of all processes.
func (f *Fleet) Traffic(ctx context.Context, spec TrafficSpec) (TrafficResult, error) {
	total := TrafficResult{Errors: make(map[string]uint64), Latency: NewHist(), Lag: NewHist()}
	n := len(f.workers)
	if spec.StartAt == 0 {
		spec.StartAt = Now() + int64(startDelay)
	}
	replies, err := f.ask(ctx, func(i int) request {
		part := spec
		part.Rate = spec.Rate / float64(n)
		part.Churn = spec.Churn / float64(n)
		if spec.Rate > 0 { // processes take turns rather than send together
			part.StartAt += int64(float64(i) / spec.Rate * 1e9)
		}
		return request{Op: "traffic", Traffic: &part}
	})
	for _, r := range replies {
		if r.Traffic != nil {
			total.add(r.Traffic)
		}
	}
	return total, err
}

func (r *TrafficResult) add(o *TrafficResult) {
	r.Sent += o.Sent
	r.Answered += o.Answered
	r.Measured += o.Measured
	r.Unanswered += o.Unanswered
	r.Churned += o.Churned
	r.Deaf += o.Deaf
	r.DeafClosed += o.DeafClosed
	r.DeafSent += o.DeafSent
	addKinds(&r.Errors, o.Errors)
	r.Latency.Merge(o.Latency.Histogram)
	r.Lag.Merge(o.Lag.Histogram)
}

// Listen begins to count what others publish; it is in force when Listen
// returns.
func (f *Fleet) Listen(ctx context.Context) error {
	_, err := f.ask(ctx, func(int) request { return request{Op: "listen"} })
	return err
}

// Heard ends what Listen began and returns the counts.
func (f *Fleet) Heard(ctx context.Context) (ListenResult, error) {
	total := ListenResult{Latency: NewHist()}
	replies, err := f.ask(ctx, func(int) request { return request{Op: "heard"} })
	merged := make(map[uint64]int)
	for _, r := range replies {
		if r.Listen == nil {
			continue
		}
		total.Deliveries += r.Listen.Deliveries
		total.Latency.Merge(r.Listen.Latency.Histogram)
		for _, b := range r.Listen.Broadcasts {
			i, ok := merged[b.Seq]
			if !ok {
				merged[b.Seq] = len(total.Broadcasts)
				total.Broadcasts = append(total.Broadcasts, b)
				continue
			}
			total.Broadcasts[i].Delivered += b.Delivered
			total.Broadcasts[i].Last = max(total.Broadcasts[i].Last, b.Last)
		}
	}
	return total, err
}

// Drop ends every connection with RST and returns how many there were.
func (f *Fleet) Drop(ctx context.Context) (int, error) {
	replies, err := f.ask(ctx, func(int) request { return request{Op: "drop", Count: -1} })
	n := 0
	for _, r := range replies {
		n += r.Dropped
	}
	return n, err
}

// ask sends one request to every worker and waits for all answers. When ctx
// ends it cancels them and still takes what they answer within cancelGrace.
func (f *Fleet) ask(ctx context.Context, build func(i int) request) ([]reply, error) {
	f.mu.Lock()
	f.nextID += 2
	id := f.nextID
	f.mu.Unlock()
	type answer struct {
		reply
		err error
	}
	answers := make(chan answer, len(f.workers))
	for i, w := range f.workers {
		r := build(i)
		r.ID = id
		go func() {
			a, err := w.ask(ctx, r)
			answers <- answer{a, err}
		}()
	}
	var out []reply
	err := ctx.Err()
	for range f.workers {
		a := <-answers
		if a.err != nil {
			err = errors.Join(err, a.err)
			continue
		}
		out = append(out, a.reply)
	}
	if err == nil {
		err = ctx.Err()
	}
	return out, err
}

// share is the part of the i-th of n when total is divided evenly.
func share(total, n, i int) int { return total*(i+1)/n - total*i/n }
