package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// WorkerArg is the hidden subcommand under which a binary calls RunWorker.
const WorkerArg = "bench-client"

// StatsEvery is how often a worker reports what it has seen. Many workers
// report less often each.
const StatsEvery = 200 * time.Millisecond

// Stats is a worker's report of itself, or the sum of all workers'.
type Stats struct {
	Counts
	CPU     time.Duration `json:"cpu_ns"`      // of the process, since its start
	LoopCPU time.Duration `json:"loop_cpu_ns"` // of the loop's thread; of the busiest one in a sum
	RSS     uint64        `json:"rss"`         // bytes
	LagP99  time.Duration `json:"lag_p99_ns"`  // of dials; the worst in a sum
}

// request is one line from the parent. The first carries a Config instead.
type request struct {
	ID      int          `json:"id"`
	Op      string       `json:"op"` // dial, traffic, listen, heard, drop, cancel
	Dial    *DialSpec    `json:"dial,omitempty"`
	Traffic *TrafficSpec `json:"traffic,omitempty"`
	Count   int          `json:"count,omitempty"`
	Cancel  int          `json:"cancel,omitempty"` // id of the request to end
}

// reply is one line to the parent. ID 0 is not an answer but news.
type reply struct {
	ID        int            `json:"id"`
	Error     string         `json:"error,omitempty"`
	Ready     bool           `json:"ready,omitempty"`
	NoFile    uint64         `json:"nofile,omitempty"`
	Stats     *Stats         `json:"stats,omitempty"`
	Complete  *Broadcast     `json:"complete,omitempty"` // every connection of this worker has it
	Dial      *DialResult    `json:"dial,omitempty"`
	Traffic   *TrafficResult `json:"traffic,omitempty"`
	Listen    *ListenResult  `json:"listen,omitempty"`
	Dropped   int            `json:"dropped,omitempty"`
	Cancelled bool           `json:"cancelled,omitempty"`
}

// RunWorker is a client process: it reads requests from in and writes replies
// to out, one JSON value per line, until in ends. It returns after every
// connection is closed.
func RunWorker(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests := json.NewDecoder(bufio.NewReader(in))
	var cfg Config
	if err := requests.Decode(&cfg); err != nil {
		return fmt.Errorf("bench client: configuration: %w", err)
	}
	e, err := NewEngine(cfg)
	w := &worker{e: e, out: make(chan reply, 64), cancels: make(map[int]func())}
	written := make(chan error, 1)
	go func() { written <- w.write(out) }()
	defer func() {
		close(w.out)
		<-written
	}()
	if err != nil {
		w.out <- reply{Error: err.Error()}
		return err
	}
	first := e.stats() // the memory that is there before any connection
	w.out <- reply{Stats: &first}
	w.out <- reply{Ready: true, NoFile: noFile()}
	go func() {
		defer cancel() // the parent has gone, or wants us gone
		for {
			var r request
			if requests.Decode(&r) != nil {
				return
			}
			e.Do(func() { w.handle(r) })
		}
	}()
	if cfg.Report <= 0 {
		cfg.Report = StatsEvery
	}
	e.launch(&reporting{w: w, every: int64(cfg.Report)}, func() {})
	return e.Run(ctx)
}

type worker struct {
	e       *Engine
	out     chan reply     // to write; closed after the loop has ended
	cancels map[int]func() // owned by the loop: requests under way
}

// write is the only writer of out. Process-wide figures are read here, off
// the loop.
func (w *worker) write(out io.Writer) error {
	enc := json.NewEncoder(out)
	var failed error
	for r := range w.out {
		if r.Stats != nil {
			r.Stats.CPU, r.Stats.RSS = processCPU(), ownRSS()
		}
		if failed == nil {
			failed = enc.Encode(r) // the rest is drained so that the loop never blocks
		}
	}
	return failed
}

// handle runs on the loop.
func (w *worker) handle(r request) {
	switch {
	case r.Op == "dial" && r.Dial != nil:
		d := newDialing(w.e, *r.Dial)
		w.cancels[r.ID] = func() { d.cancel = true }
		w.e.launch(d, func() { w.finish(reply{ID: r.ID, Dial: &d.result, Cancelled: d.cancel}) })
	case r.Op == "traffic" && r.Traffic != nil:
		t := newTraffic(w.e, *r.Traffic)
		w.e.traffic = t
		w.cancels[r.ID] = func() { t.cancel = true }
		w.e.launch(t, func() { w.finish(reply{ID: r.ID, Traffic: &t.result, Cancelled: t.cancel}) })
	case r.Op == "listen":
		w.e.listen = newListening(w.e, func(b Broadcast) { w.out <- reply{Complete: &b} })
		w.finish(reply{ID: r.ID})
	case r.Op == "heard" && w.e.listen != nil:
		result := w.e.listen.result()
		w.e.listen = nil
		w.finish(reply{ID: r.ID, Listen: &result})
	case r.Op == "drop":
		w.finish(reply{ID: r.ID, Dropped: w.e.drop(r.Count)})
	case r.Op == "cancel":
		if f := w.cancels[r.Cancel]; f != nil {
			f()
		}
	default:
		w.finish(reply{ID: r.ID, Error: fmt.Sprintf("unknown request %q", r.Op)})
	}
}

func (w *worker) finish(r reply) {
	delete(w.cancels, r.ID)
	stats := w.e.stats()
	w.out <- reply{Stats: &stats} // so that the parent's sum is current with the answer
	w.out <- r
}

// reporting sends Stats for as long as the loop runs.
type reporting struct {
	w     *worker
	every int64
	next  int64
}

func (r *reporting) step(now int64) (int64, bool) {
	if now >= r.next {
		r.next = now + r.every
		stats := r.w.e.stats()
		r.w.out <- reply{Stats: &stats}
	}
	return r.next, false
}

func (e *Engine) stats() Stats {
	return Stats{
		Counts: e.counts.clone(), LoopCPU: cpuTime(unix.RUSAGE_THREAD),
		LagP99: time.Duration(e.lag.ValueAtPercentile(99)),
	}
}

func processCPU() time.Duration { return cpuTime(unix.RUSAGE_SELF) }

func cpuTime(who int) time.Duration {
	var ru unix.Rusage
	if unix.Getrusage(who, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// ownRSS reads the resident pages from /proc/self/statm.
func ownRSS() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// noFile raises the soft descriptor limit to the hard one and returns it.
func noFile() uint64 {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		return 0
	}
	if lim.Cur < lim.Max {
		lim.Cur = lim.Max
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
			return 0
		}
	}
	return min(lim.Cur, math.MaxInt32)
}

var errWorkerGone = errors.New("a client process ended before it was done")
