package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/limpet-gateway/limpet/internal/live"
	"github.com/limpet-gateway/limpet/internal/telemetry"
)

func newStatsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Print what a running gateway does and holds",
		Args:  noArguments,
	}
	gateway := apiFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var s telemetry.Snapshot
		if err := gateway.JSON(cmd.Context(), "/v1/snapshot", &s); err != nil {
			return advise(err)
		}
		if !asJSON {
			_, err := fmt.Fprint(cmd.OutOrStdout(), live.Text(s))
			return err
		}
		return printJSON(cmd.OutOrStdout(), s)
	}
	return cmd
}

func newTopCommand() *cobra.Command {
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch a running gateway in the terminal",
		Args:  noArguments,
	}
	gateway := apiFlags(cmd)
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "`TIME` between two looks")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if interval < 100*time.Millisecond || interval > time.Minute {
			return badUsage(fmt.Errorf("--interval: %v: want 100ms to 1m", interval))
		}
		if !term.IsTerminal(int(os.Stdout.Fd())) || !term.IsTerminal(int(os.Stdin.Fd())) {
			return badUsage(errors.New("top needs a terminal; limpet stats prints the same once"))
		}
		ask := func(ctx context.Context) (s telemetry.Snapshot, err error) {
			return s, advise(gateway.JSON(ctx, "/v1/snapshot", &s))
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM)
		defer stop()
		if _, err := ask(ctx); err != nil {
			return err // a wrong address should not open a view
		}
		return live.Run(ctx, ask, interval, os.Stdin, os.Stdout)
	}
	return cmd
}
