package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/probe"
	"github.com/limpet-gateway/limpet/bench/report"
	"github.com/limpet-gateway/limpet/bench/target"
)

// Progress is told how a run goes. Its methods may be called from several
// goroutines at once.
type Progress interface {
	Line(text string)                      // something worth keeping
	Sample(server string, s report.Sample) // where things are now
}

// ErrFaults is returned by Run for a result that is not complete.
var ErrFaults = errors.New("the run is not complete")

// Run measures each server in turn. The result is never nil and holds what
// was measured; the error is ErrFaults when that is not all, or what kept the
// run from starting.
func Run(ctx context.Context, o Options, progress Progress) (*report.Result, error) {
	s, ok := Find(o.Scenario)
	o.choose(s)
	proc := probe.Host()
	result := &report.Result{
		Schema: report.Schema, Started: time.Now(), Machine: proc.Machine(), Scenario: o.Scenario, Question: s.Question,
		Tool:     report.Tool{Version: o.Tool, Go: runtime.Version(), Command: o.Command},
		Settings: o.settings(), Targets: []*report.Target{},
	}
	if !ok {
		return result, fmt.Errorf("there is no scenario %q", o.Scenario)
	}
	if err := o.Validate(); err != nil {
		return result, err
	}
	result.Complete = true
	for _, name := range append(o.Spawn, o.Targets...) {
		out := &report.Target{Name: name, Complete: true, Faults: []report.Fault{}, Figures: []report.Figure{}, Errors: map[string]uint64{}}
		result.Targets = append(result.Targets, out)
		progress.Line(fmt.Sprintf("%s: %s", name, s.Name))
		if err := measure(ctx, o, s, out, progress); err != nil {
			if !errors.Is(err, errFaults) && ctx.Err() == nil {
				out.Faults = append(out.Faults, report.Fault{Message: err.Error()})
			}
			out.Complete, result.Complete = false, false
		}
		for _, f := range out.Faults {
			progress.Line(fmt.Sprintf("%s: %s", name, f.Message))
		}
		if ctx.Err() != nil {
			result.Interrupted, result.Complete = true, false
			break
		}
	}
	result.Finished = time.Now()
	if !result.Complete {
		return result, ErrFaults
	}
	return result, nil
}

func (o *Options) settings() report.Settings {
	return report.Settings{
		Conns: o.Conns, Rate: o.Rate, MsgRate: o.MsgRate, Seconds: o.Duration.Seconds(), Warmup: o.Warmup.Seconds(),
		Timeout: o.Timeout.Seconds(), Size: o.Size, Seed: o.Seed, Steps: o.Steps, Rounds: o.Rounds, InFlight: o.InFlight,
		SlowShare: o.SlowShare, Churn: o.Churn, Exercise: o.Exercise, ClientsMin: o.Clients,
	}
}

// measure runs the scenario against one server: in several rounds when it was
// asked for and the server can be started anew, and again with more client
// processes when the client turned out to be in the way.
func measure(ctx context.Context, o Options, s Scenario, out *report.Target, progress Progress) error {
	rounds, chosen := 1, o.Clients == 0
	if !strings.Contains(out.Name, "://") {
		rounds = o.Rounds
	}
	for n := 1; n <= rounds; n++ {
		out.Figures, out.Client = []report.Figure{}, report.Client{Why: out.Client.Why}
		if err := attempt(ctx, &o, s, out, n, progress); err != nil {
			return err
		}
		more := moreClients(out.Client, runtime.NumCPU())
		if more == 0 || !chosen {
			continue
		}
		progress.Line(fmt.Sprintf("%s: the client was the bottleneck with %d process(es): again with %d", out.Name, out.Client.Processes, more))
		*out = report.Target{Name: out.Name, Complete: true, Faults: []report.Fault{}, Errors: map[string]uint64{}}
		o.Clients, n = more, 0
	}
	return nil
}

// moreClients is the number of client processes to try next, or 0. A core
// stays with the server.
func moreClients(c report.Client, cores int) int {
	if !c.Bottleneck || c.Processes*2 > cores-1 {
		return 0
	}
	return c.Processes * 2
}

// attempt runs the scenario once.
func attempt(ctx context.Context, o *Options, s Scenario, out *report.Target, round int, progress Progress) error {
	server, err := o.start(ctx, s, out.Name)
	if err != nil {
		return err
	}
	defer server.Stop()
	proc := probe.Host()
	t := &trial{opt: o, server: server, proc: proc, out: out, round: round}
	t.say = func(format string, args ...any) { progress.Line(out.Name + ": " + fmt.Sprintf(format, args...)) }
	out.URL, out.PID, out.Command = "ws://"+server.Host+server.Path, server.PID, server.Command
	if server.Doubt != "" {
		t.note("%s", server.Doubt)
	}
	if err := t.fits(); err != nil {
		return err
	}
	if t.kernelBefore, err = proc.Kernel(); err != nil {
		return err
	}
	// Metrics are read outside of the measured time; a server without them is
	// measured all the same.
	if out.Before, err = server.ReadMetrics(ctx); err != nil {
		t.note("%v", err)
		server.Metrics = ""
	}
	t.fleet, err = load.StartFleet(ctx, load.FleetConfig{
		Command: o.Client, Env: o.Env, Addr: server.Addr, Host: server.Host, Target: server.Path,
		Seed: o.Seed, Conns: o.Conns, Workers: o.Clients,
	})
	if err != nil {
		return err
	}
	defer t.fleet.Close()
	t.clientBase = t.fleet.Stats().RSS
	if server.PID != 0 {
		t.cpuBefore, _ = proc.CPU(server.PID)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.rec = startRecorder(server.PID, t.fleet.Stats, func(sample report.Sample) {
		if err := server.Failure(); err != nil {
			cancel(err)
		}
		progress.Sample(out.Name, sample)
	})
	err = s.run(ctx, t)
	out.Timeline = append(out.Timeline, shift(t.rec.close(), out.Timeline)...)
	t.finish()
	if gone := server.Failure(); gone != nil {
		t.fault("see its last words, and dmesg for the kernel's out-of-memory killer", "%v", gone)
		return errFaults
	}
	if errors.Is(err, context.Canceled) && context.Cause(ctx) != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
		err = context.Cause(ctx)
	}
	return err
}

// shift moves the samples of a later round behind those of the earlier ones.
func shift(samples, earlier []report.Sample) []report.Sample {
	if len(earlier) == 0 {
		return samples
	}
	for i := range samples {
		samples[i].At += earlier[len(earlier)-1].At
	}
	return samples
}

func (o *Options) start(ctx context.Context, s Scenario, name string) (*target.Server, error) {
	if strings.Contains(name, "://") {
		return target.Attach(ctx, name, o.PID, o.Metrics)
	}
	sp := o.Spawner
	sp.Uplink, sp.MaxConns = s.Uplink, o.Conns
	return sp.Start(ctx, name)
}

const (
	// reserveFiles is what a server needs besides connections.
	reserveFiles = 50
	// bytesPerConn is what a connection over loopback takes of this machine at
	// least: the kernel's part of both sockets and a lean server and client.
	bytesPerConn = 2*3800 + 600 + 300
)

// fits refuses what the server's descriptor limit or the machine's memory
// cannot hold, before hours are spent on it.
func (t *trial) fits() error {
	if t.server.PID == 0 {
		return nil
	}
	t.out.NoFile = t.proc.NoFile(t.server.PID)
	limit := t.out.NoFile
	if !t.proc.OneTable(t.server.PID) {
		limit = 0 // each of its threads may open that many
	}
	faults := shortages(t.server.Name, t.opt.Conns, limit, t.proc.Available())
	t.out.Faults = append(t.out.Faults, faults...)
	if len(faults) > 0 {
		return errFaults
	}
	return nil
}

// shortages says what is missing for so many connections; 0 is not known.
func shortages(server string, conns int, nofile, memory uint64) (out []report.Fault) {
	if nofile > 0 && uint64(conns+reserveFiles) > nofile {
		out = append(out, report.Fault{
			Message: fmt.Sprintf("%s may open %d files, too few for %d connections", server, nofile, conns),
			Advice:  fmt.Sprintf("ask for --conns %d at most, or raise the limit (ulimit -n) in the shell that starts it", max(int(nofile)-reserveFiles, 0)),
		})
	}
	if need := uint64(conns) * bytesPerConn; memory > 0 && need > memory {
		out = append(out, report.Fault{
			Message: fmt.Sprintf("%d connections take %s of memory at least, and %s are available", conns, report.FormatValue(float64(need), "B"), report.FormatValue(float64(memory), "B")),
			Advice:  fmt.Sprintf("ask for --conns %d at most, or use a machine with more memory", memory/bytesPerConn),
		})
	}
	return out
}

// finish fills in what every scenario reports.
func (t *trial) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if after, err := t.server.ReadMetrics(ctx); err == nil {
		t.out.After = after
	}
	t.clientReport()
	if k, err := t.proc.Kernel(); err == nil {
		b := t.kernelBefore
		t.out.Network = report.Network{
			TimeWait: int64(k.TimeWait) - int64(b.TimeWait), Retransmits: k.Retransmits - b.Retransmits,
			ListenOverflows: k.ListenOverflows - b.ListenOverflows, ListenDrops: k.ListenDrops - b.ListenDrops,
			BacklogDrops: k.BacklogDrops - b.BacklogDrops, Resets: k.Resets - b.Resets,
		}
	}
	s := t.fleet.Stats()
	for kind, n := range s.Failed {
		t.out.Errors[kind] += n
	}
	for kind, n := range s.Closed {
		t.out.Errors[kind] += n
	}
}
