package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limpet-gateway/limpet/internal/api"
)

func newReloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running gateway read its configuration file again",
		Long: `Have a running gateway read its configuration file again, as SIGHUP does, and
print what has changed and what needs a restart. A file with faults changes
nothing; the faults are printed, and the exit code is 1.`,
		Args: noArguments,
	}
	gateway := apiFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var done api.Reloaded
		if err := gateway.Post(cmd.Context(), "/v1/reload", struct{}{}, &done); err != nil {
			return advise(err)
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), describeReload(done))
		return err
	}
	return cmd
}

func describeReload(done api.Reloaded) string {
	list := func(keys []string) string {
		if len(keys) == 0 {
			return "nothing"
		}
		return strings.Join(keys, ", ")
	}
	file := done.File
	if file == "" {
		file = "the key files; there is no configuration file"
	}
	text := fmt.Sprintf("read %s\n  changed    %s\n", file, list(done.Changed))
	if len(done.Restart) > 0 {
		text += fmt.Sprintf("  restart    %s\n", list(done.Restart))
	}
	return text + fmt.Sprintf("  unchanged  %d keys\n", len(done.Unchanged))
}
