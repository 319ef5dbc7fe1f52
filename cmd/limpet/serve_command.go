package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/limpet-gateway/limpet/internal/config"
)

// newServeCommand finds the configuration, prints it if that is asked for, or
// else hands it to serve, which runs the gateway to its end. Nothing is opened
// and no goroutine started before serve.
func newServeCommand(serve func(context.Context, *config.Loaded) error) *cobra.Command {
	var printConfig bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Run the gateway: hold the connections of WebSocket clients, and carry their
messages to Kafka and back.

Each key below is also a line of the YAML file ("max-conns: 1000") and an
environment variable (LIMPET_MAX_CONNS=1000). Flags win over the environment,
the environment over the file, the file over the defaults. Sizes are whole
numbers of B, KiB, MiB or GiB; durations are written as 500ms, 10s or 5m.

SIGTERM or SIGINT drains: clients are sent away over the drain window, and
what was accepted from them reaches Kafka. A second signal ends at once. SIGHUP
reads the file again, as limpet reload does.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := config.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return badUsage(err)
			}
			if printConfig {
				return loaded.WriteYAML(cmd.OutOrStdout())
			}
			return serve(cmd.Context(), loaded)
		},
	}
	cmd.Flags().SortFlags = false
	config.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&printConfig, "print-config", false, "print the effective configuration and where each value comes from, and end")
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "Usage:\n  %s\n\n%s", cmd.UseLine(), config.Usage(cmd.Flags(), helpWidth()))
		return err
	})
	return cmd
}

// helpWidth is the width of the terminal within reasonable bounds, or 100
// where the help goes elsewhere.
func helpWidth() int {
	width := terminalWidth(os.Stdout)
	if width == 0 {
		return 100
	}
	return min(max(width, 60), 120)
}
