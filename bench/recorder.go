package bench

import (
	"sync"
	"time"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/probe"
	"github.com/limpet-gateway/limpet/bench/report"
)

const (
	sampleEvery = 250 * time.Millisecond
	maxSamples  = 2000 // then every other one goes, and the interval doubles
)

// recorder samples the timeline of one trial on its own goroutine.
type recorder struct {
	// Fixed at construction.
	proc   probe.Proc
	pid    int // 0: the server's process is unknown
	stats  func() load.Stats
	begun  time.Time
	notify func(report.Sample) // called on the recorder's goroutine
	stop   chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	phase   string          // guarded by mu
	samples []report.Sample // guarded by mu
	keep    int             // guarded by mu: one of so many is kept
	seen    int             // guarded by mu
	peak    uint64          // guarded by mu: highest RSS since resetPeak
}

func startRecorder(pid int, stats func() load.Stats, notify func(report.Sample)) *recorder {
	r := &recorder{
		proc: probe.Host(), pid: pid, stats: stats, begun: time.Now(), notify: notify,
		stop: make(chan struct{}), done: make(chan struct{}), phase: "start", keep: 1,
	}
	go r.loop()
	return r
}

func (r *recorder) loop() {
	defer close(r.done)
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	last, lastAt := r.read(), time.Now()
	for {
		stopped := false
		select {
		case <-r.stop:
			stopped = true // after one more sample: a run has at least one
		case <-tick.C:
		}
		now, at := r.read(), time.Now()
		r.add(now, last, at.Sub(lastAt).Seconds(), at.Sub(r.begun).Seconds())
		if stopped {
			return
		}
		last, lastAt = now, at
	}
}

// reading is one moment, in absolute terms.
type reading struct {
	stats load.Stats
	rss   uint64
	cpu   time.Duration
}

func (r *recorder) read() reading {
	out := reading{stats: r.stats()}
	if r.pid != 0 {
		// A server that has gone shows as zero; the trial reports it.
		out.rss, _ = r.proc.RSS(r.pid)
		out.cpu, _ = r.proc.CPU(r.pid)
	}
	return out
}

func (r *recorder) add(now, last reading, seconds, at float64) {
	r.mu.Lock()
	s := report.Sample{
		At: at, Phase: r.phase, Open: now.stats.Open, RSS: now.rss,
		ServerCPU: max(now.cpu-last.cpu, 0).Seconds() / seconds,
		ClientCPU: max(now.stats.CPU-last.stats.CPU, 0).Seconds() / seconds,
		Received:  float64(now.stats.Received-min(now.stats.Received, last.stats.Received)) / seconds,
		Errors:    load.Total(now.stats.Failed) + load.Total(now.stats.Closed),
	}
	r.peak = max(r.peak, now.rss)
	if r.seen++; r.seen%r.keep == 0 {
		r.samples = append(r.samples, s)
	}
	if len(r.samples) == maxSamples {
		for i := range maxSamples / 2 {
			r.samples[i] = r.samples[2*i+1]
		}
		r.samples = r.samples[:maxSamples/2]
		r.keep *= 2
	}
	r.mu.Unlock()
	r.notify(s)
}

// enter names the present phase.
func (r *recorder) enter(phase string) {
	r.mu.Lock()
	r.phase = phase
	r.mu.Unlock()
}

// since is the time that the timeline counts in.
func (r *recorder) since() float64 { return time.Since(r.begun).Seconds() }

// resetPeak makes highest count from now.
func (r *recorder) resetPeak() {
	r.mu.Lock()
	r.peak = 0
	r.mu.Unlock()
}

func (r *recorder) highest() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peak
}

// close ends the goroutine and returns the timeline.
func (r *recorder) close() []report.Sample {
	close(r.stop)
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.samples
}
