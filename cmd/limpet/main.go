// Command limpet is a gateway that holds very many long-lived connections on
// little memory and bridges them to Kafka and Redis.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

// The main goroutine keeps the process's first thread. Event loops may run on
// threads with a descriptor table of their own and end with them; the first
// thread cannot end before the process does, so it must never become a loop's.
func init() { runtime.LockOSThread() }

func main() {
	root := newRootCommand()
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "limpet:", err)
		os.Exit(exitCode(err))
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "limpet",
		Short:         "A gateway that holds very many connections on little memory",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(commands()...)
	return root
}

// commands lists every subcommand, in the order of the help text.
func commands() []*cobra.Command {
	return []*cobra.Command{}
}
