// Command limpet is a gateway that holds very many long-lived connections on
// little memory and bridges them to Kafka and Redis.
//
// Files that begin with serve build a node and take it down: serve.go says in
// which order, serve_stop.go the way back, serve_configs.go what of the
// configuration each part gets. Every other command has a file of its name, or
// several; flags.go has what they share.
package main

import (
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

// The main goroutine keeps the process's first thread. Event loops may run on
// threads with a descriptor table of their own and end with them; the first
// thread cannot end before the process does, so it must never become a loop's.
func init() { runtime.LockOSThread() }

func main() { os.Exit(execute(newRootCommand(), os.Stderr)) }

// commands lists every subcommand, in the order of the help text.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newServeCommand(serve),
		newPushCommand(),
		newTailCommand(),
		newWhereCommand(),
		newNodesCommand(),
		newRegistryCommand(),
		newReloadCommand(),
		newStatsCommand(),
		newTopCommand(),
		newProfileCommand(),
		newBenchCommand(),
		newBenchClientCommand(),
		newSysctlCommand(),
		newVersionCommand(),
	}
}
