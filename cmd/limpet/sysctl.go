package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/limpet-gateway/limpet/sysctl"
)

// newSysctlCommand builds `limpet sysctl` and what is below it. Its exit codes
// are those of the whole binary, here in the sense of 0 fits, 1 falls short,
// 2 bad usage.
func newSysctlCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sysctl",
		Short: "Say whether this host can hold N connections, and make it so",
		Long: `Say whether this host can hold N connections, and make it so.

Exit status: 0 the host fits, 1 it falls short or something could not be written,
2 bad usage.`,
	}
	c.AddCommand(newSysctlCheckCommand(), newSysctlCapacityCommand(), newSysctlRenderCommand(),
		newSysctlApplyCommand(), newSysctlRestoreCommand())
	onlyGroups(c)
	return c
}

// sysctlFlags are what most of the commands share.
type sysctlFlags struct {
	need         sysctl.Need
	json         bool
	measure      bool
	benchResults string
	root         string
}

func (f *sysctlFlags) needFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.Var(countValue{&f.need.Conns}, "conns", "connections to hold at once, such as 1000000, 1_000_000, 200k or 1M")
	flags.Var(countValue{&f.need.Rate}, "rate", "new connections a second at the worst (default: all within a minute)")
	flags.Var(countValue{&f.need.MsgRate}, "msg-rate", "messages a second in both directions together, besides heartbeats")
	flags.Var(countValue{&f.need.MessageBytes}, "msg-bytes", "size of a message in bytes (default 256)")
	flags.Var(countValue{&f.need.Outbound}, "outbound", "connections this host opens itself to one address and port")
	flags.StringVar((*string)(&f.need.Tables), "fd-tables", "auto", "descriptor tables of the gateway: auto, shared or per-loop")
	flags.Var(countValue{&f.need.Loops}, "loops", "event loops (default: one per CPU, or as many as per-loop tables need)")
	flags.BoolVar(&f.measure, "measure", true, "measure what a socket costs by opening loopback connections (needs root)")
	flags.StringVar(&f.benchResults, "bench-results", "bench/results", "directory of benchmark results, for the gateway's bytes per session")
}

func (f *sysctlFlags) rootFlag(c *cobra.Command) {
	c.Flags().StringVar(&f.root, "root", "/", "directory that holds proc and sys, to look at a saved or mounted host")
}

// inputs measures and reads what a check works from. What cannot be had is
// replaced by a stated default, whose source says so.
func (f *sysctlFlags) inputs(c *cobra.Command) (sysctl.Root, sysctl.Inputs, error) {
	root, err := f.openRoot()
	if err != nil {
		return root, sysctl.Inputs{}, err
	}
	in := sysctl.Inputs{Need: f.need, Kernel: sysctl.DefaultKernelCost(), Gateway: sysctl.DefaultGatewayCost()}
	if err := f.need.Validate(); err != nil {
		return root, in, badUsage(err)
	}
	if gateway, err := sysctl.ReadGatewayCost(os.DirFS(f.benchResults)); err == nil {
		in.Gateway = gateway
	} else if c.Flags().Changed("bench-results") {
		return root, in, badUsage(fmt.Errorf("--bench-results %s: %w", f.benchResults, err))
	}
	if f.measure {
		cost, err := sysctl.Measure(c.Context(), root, sysctl.MeasurePairs)
		if err == nil {
			in.Kernel = cost
		} else {
			fmt.Fprintf(c.ErrOrStderr(), "limpet: %v; a default stands in (--measure=false takes it in silence)\n", err)
		}
	}
	return root, in, nil
}

func (f *sysctlFlags) openRoot() (sysctl.Root, error) {
	root := sysctl.System()
	if f.root != "/" {
		root.Files, root.Procs = sysctl.Dir(f.root), 0
		f.measure = false // sockets would be this machine's
		if _, err := os.Stat(filepath.Join(f.root, "proc")); err != nil {
			return root, badUsage(fmt.Errorf("--root: %w", err))
		}
	}
	return root, nil
}

func (f *sysctlFlags) requireConns() error {
	if f.need.Conns == 0 {
		return badUsage(errors.New("--conns is needed: how many connections is the host to hold?"))
	}
	return nil
}

func newSysctlCheckCommand() *cobra.Command {
	var f sysctlFlags
	c := &cobra.Command{
		Use:   "check --conns N",
		Short: "Compare every setting with what N connections need",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.requireConns(); err != nil {
				return err
			}
			root, in, err := f.inputs(c)
			if err != nil {
				return err
			}
			report, err := sysctl.Check(root, in)
			if err != nil {
				return badUsage(err)
			}
			return f.print(c, report, report.Err())
		},
	}
	f.needFlags(c)
	f.rootFlag(c)
	f.jsonFlag(c)
	return c
}

func newSysctlCapacityCommand() *cobra.Command {
	var f sysctlFlags
	var memory int64
	c := &cobra.Command{
		Use:   "capacity [--conns N] [--memory SIZE]",
		Short: "Say what memory N connections take, or how many connections fit",
		Long: `Say what memory N connections take, or without --conns how many connections fit.
Either way it lists how many connections each limit of this host allows, the
tightest first. --memory stands for another machine, or for the part of this one
that the gateway may use.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("conns") && f.need.Conns == 0 {
				return badUsage(errors.New("--conns must be at least 1; leave it out to ask how many fit"))
			}
			if c.Flags().Changed("memory") && memory == 0 {
				return badUsage(errors.New("--memory must not be 0"))
			}
			f.defaultConnsForValidation()
			root, in, err := f.inputs(c)
			if err != nil {
				return err
			}
			if !c.Flags().Changed("conns") {
				in.Need.Conns = 0
			}
			report, err := sysctl.Capacity(root, in, memory)
			if err != nil {
				return err
			}
			return f.print(c, report, report.Err())
		},
	}
	f.needFlags(c)
	f.rootFlag(c)
	f.jsonFlag(c)
	c.Flags().Var(sizeValue{&memory}, "memory", "memory that gateway and sockets may use, such as 8GiB (default: what this host has available)")
	return c
}

// defaultConnsForValidation lets the other flags be checked before any socket is
// opened when the number of connections is the question.
func (f *sysctlFlags) defaultConnsForValidation() {
	if f.need.Conns == 0 {
		f.need.Conns = 1
	}
}

func newSysctlRenderCommand() *cobra.Command {
	var f sysctlFlags
	var format string
	var o sysctl.RenderOptions
	c := &cobra.Command{
		Use:   "render --conns N --format FORMAT",
		Short: "Write a file that makes a host ready: sysctl, limits, systemd, docker, k8s",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if format == "" {
				return badUsage(errors.New("--format is needed: sysctl, limits, systemd, docker, k8s or markdown"))
			}
			if o.Format, err = sysctl.ParseFormat(format); err != nil {
				return badUsage(err)
			}
			if o.User == "" || strings.ContainsFunc(o.User, unicode.IsSpace) {
				return badUsage(fmt.Errorf("--user must be one word, not %q", o.User))
			}
			if o.Format == sysctl.FormatMarkdown {
				return sysctl.Render(c.OutOrStdout(), sysctl.Root{}, sysctl.Inputs{}, o)
			}
			if err := f.requireConns(); err != nil {
				return err
			}
			root, in, err := f.inputs(c)
			if err != nil {
				return err
			}
			return sysctl.Render(c.OutOrStdout(), root, in, o)
		},
	}
	f.needFlags(c)
	f.rootFlag(c)
	c.Flags().StringVar(&format, "format", "", "sysctl, limits, systemd, docker, k8s or markdown (the documentation's table)")
	c.Flags().BoolVar(&o.All, "all", false, "every needed value, also where this host already has more")
	c.Flags().StringVar(&o.User, "user", "limpet", "account of --format limits")
	return c
}

func newSysctlApplyCommand() *cobra.Command {
	var f sysctlFlags
	var o sysctl.ApplyOptions
	c := &cobra.Command{
		Use:   "apply --conns N",
		Short: "Write the kernel settings that fall short, upwards only",
		Long: `Write the kernel settings that fall short: only what differs, and only upwards
unless --force. The values before are kept in the restore file. Limits of
processes and cgroups are not apply's to change; they are listed at the end.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(f.requireConns(), requireRestoreFile(o)); err != nil {
				return badUsage(err)
			}
			root, in, err := f.inputs(c)
			if err != nil {
				return err
			}
			report, err := sysctl.Apply(root, in, o)
			if err != nil {
				return err
			}
			return f.print(c, report, report.Err())
		},
	}
	f.needFlags(c)
	f.rootFlag(c)
	f.jsonFlag(c)
	writeFlags(c, &o)
	c.Flags().BoolVar(&o.Atomic, "atomic", false, "write all lines or, if one cannot be written, none")
	return c
}

func newSysctlRestoreCommand() *cobra.Command {
	var f sysctlFlags
	var o sysctl.ApplyOptions
	c := &cobra.Command{
		Use:   "restore",
		Short: "Set back what apply changed",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := requireRestoreFile(o); err != nil {
				return badUsage(err)
			}
			root, err := f.openRoot()
			if err != nil {
				return err
			}
			report, err := sysctl.Restore(root, o)
			if err != nil {
				return err
			}
			return f.print(c, report, report.Err())
		},
	}
	f.rootFlag(c)
	f.jsonFlag(c)
	writeFlags(c, &o)
	return c
}

func writeFlags(c *cobra.Command, o *sysctl.ApplyOptions) {
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "show what would be written and write nothing")
	c.Flags().BoolVar(&o.Force, "force", false, "also lower values, and set back what others changed")
	c.Flags().StringVar(&o.RestoreFile, "restore-file", sysctl.DefaultRestoreFile, "where the values before are kept")
}

func requireRestoreFile(o sysctl.ApplyOptions) error {
	if o.RestoreFile == "" {
		return errors.New("--restore-file must name a file")
	}
	return nil
}

func (f *sysctlFlags) jsonFlag(c *cobra.Command) {
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// print writes a report and returns the verdict, which decides the exit status.
func (f *sysctlFlags) print(c *cobra.Command, report interface{ WriteText(io.Writer) error }, verdict error) error {
	if !f.json {
		return errors.Join(report.WriteText(c.OutOrStdout()), verdict)
	}
	return errors.Join(printJSON(c.OutOrStdout(), report), verdict)
}
