package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/limpet-gateway/limpet/bench"
	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/target"
)

func newBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what a connection costs, for limpet or any other server",
		Long: `Measure what a connection costs, for limpet or any other WebSocket server. Each
scenario answers one question:

` + questions() + `
The server runs already (--target ws://HOST:PORT/PATH), or is started for the
measurement (--spawn ` + strings.Join(target.Names(), ",") + `):
several names are measured in turn and compared with the first. limpet is
started with the echo uplink, except by the uplink scenario; nethttp, gin and
echo are gorilla servers as the usual articles write them, with two goroutines
per connection; limpet-watched is looked at all the time, as by the scenario
watched; -1g names their variant with one; gnet is a bare event loop.`,
	}
	for _, s := range bench.Scenarios() {
		cmd.AddCommand(newScenarioCommand(s))
	}
	cmd.AddCommand(newBenchCompareCommand())
	onlyGroups(cmd)
	return cmd
}

func questions() string {
	var b strings.Builder
	for _, s := range bench.Scenarios() {
		fmt.Fprintf(&b, "  %-8s %s\n", s.Name, s.Question)
	}
	return b.String()
}

// benchFlags are the options of a scenario that cmd itself acts on.
type benchFlags struct {
	json, html string
	limpetArgs string
}

// check creates the files that do not exist, so that a measurement of hours
// does not end with a place where nothing can be written.
func (f benchFlags) check() error {
	var faults []error
	for _, path := range []string{f.json, f.html} {
		if path == "" {
			continue
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
		if err == nil {
			err = file.Close()
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func newScenarioCommand(s bench.Scenario) *cobra.Command {
	o := s.Defaults
	o.Scenario = s.Name
	var out benchFlags
	cmd := &cobra.Command{
		Use:   s.Name,
		Short: s.Question,
		Long:  s.Question + "\n\n" + s.Method,
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o.Spawner.Limpet, o.Spawner.LimpetArgs = self, strings.Fields(out.limpetArgs)
			o.Client = []string{self, load.WorkerArg}
			o.Join = benchJoints()
			o.Tool, o.Command = versionText(), os.Args
			if err := o.Validate(); err != nil {
				return badUsage(err)
			}
			if err := out.check(); err != nil {
				return badUsage(err)
			}
			return runBench(cmd, o, out)
		},
	}
	addBenchFlags(cmd.Flags(), &o, &out)
	return cmd
}

func addBenchFlags(f *pflag.FlagSet, o *bench.Options, out *benchFlags) {
	f.SortFlags = false
	f.StringSliceVar(&o.Targets, "target", nil, "measure the running server at `URL`, ws://HOST:PORT/PATH; \"{n}\" in it becomes the connection's number")
	f.IntVar(&o.PID, "pid", 0, "process of the target; 0 finds it from the listening socket")
	f.StringVar(&o.Metrics, "metrics", "", "`URL` of the target's /metrics or /debug/vars")
	f.StringSliceVar(&o.Spawn, "spawn", nil, "start and measure these `SERVERS`: "+strings.Join(target.Names(), ", "))
	f.StringVar(&out.limpetArgs, "limpet-args", "", "more `ARGS` for a spawned limpet serve, separated by spaces")
	f.StringVar(&o.Spawner.BaselineDir, "baselines", "", "`DIR` of the baseline servers (default: baseline/ next to limpet)")
	f.IntVar(&o.Conns, "conns", o.Conns, "connections")
	f.Float64Var(&o.Rate, "rate", o.Rate, "connections opened per second; 0: as fast as they open")
	f.Float64Var(&o.MsgRate, "msg-rate", o.MsgRate, "messages per second; 0: chosen by the scenario")
	f.DurationVar(&o.Duration, "duration", o.Duration, "measured time of each part")
	f.DurationVar(&o.Warmup, "warmup", o.Warmup, "time before it that is not measured")
	f.IntVar(&o.Size, "size", o.Size, "payload bytes of a message")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "of order, masks and jitter")
	f.DurationVar(&o.Timeout, "timeout", o.Timeout, "for an upgrade, and for answers after the end")
	f.IntVar(&o.Steps, "steps", o.Steps, "idle: counts of connections at which memory is read; watched: pairs; at least 4")
	f.IntVar(&o.Rounds, "rounds", o.Rounds, "idle: times that a spawned server is started and measured anew")
	f.IntSliceVar(&o.InFlight, "in-flight", o.InFlight, "broadcasts under way at once, one part each")
	f.Float64Var(&o.SlowShare, "slow-share", o.SlowShare, "part of the connections that never read")
	f.Float64Var(&o.Churn, "churn", o.Churn, "connections per second that are replaced")
	f.IntVar(&o.Exercise, "exercise", 0, "idle: bytes that every connection echoes once before a last reading; 0: none")
	f.IntVar(&o.Clients, "clients", 0, "client processes at least; 0: as many as are needed")
	f.StringVar(&out.json, "json", "", "write the result to `FILE`")
	f.StringVar(&out.html, "html", "", "write a page with charts to `FILE`")
}

// runBench runs the scenario and writes what was measured, also when it is
// not complete.
func runBench(cmd *cobra.Command, o bench.Options, out benchFlags) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// A second signal ends this process at once, and with it what it has started.
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	console := bench.NewConsole(cmd.ErrOrStderr(), terminalWidth(os.Stderr))
	result, err := bench.Run(ctx, o, console)
	console.Close()
	writeErr := result.WriteTable(cmd.OutOrStdout())
	if out.json != "" {
		writeErr = errors.Join(writeErr, result.WriteJSON(out.json))
	}
	if out.html != "" {
		writeErr = errors.Join(writeErr, result.WriteHTML(out.html))
	}
	return errors.Join(err, writeErr)
}

// newBenchClientCommand is the program of a client process: bench starts it.
func newBenchClientCommand() *cobra.Command {
	return &cobra.Command{
		Use:    load.WorkerArg,
		Short:  "A client process of bench",
		Hidden: true,
		Args:   noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return load.RunWorker(context.WithoutCancel(cmd.Context()), os.Stdin, os.Stdout)
		},
	}
}
