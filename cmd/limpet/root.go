package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/limpet-gateway/limpet/internal/nearest"
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "limpet",
		Short:         "A gateway that holds very many connections on little memory",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cobra.EnableCommandSorting = false // the order of commands() is the one that a new user needs
	root.AddCommand(commands()...)
	addCompletion(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w%s", err, suggestFlag(cmd, err))
	})
	return root
}

// suggestFlag names the flag that an unknown one was probably meant to be.
func suggestFlag(cmd *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if name := nearest.Name(unknown.GetSpecifiedName(), names); name != "" {
		return "; did you mean --" + name + "?"
	}
	return ""
}

// noArguments refuses what is no flag. cobra.NoArgs would call it an unknown
// command, also the value of a switch: --deflate false.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return badUsage(fmt.Errorf("%s takes no arguments, but was given %q", c.CommandPath(), args[0]))
	}
	return nil
}

// takes refuses fewer arguments than least and more than most. what says which
// a command takes.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return badUsage(fmt.Errorf("%s takes %s", c.CommandPath(), what))
		}
		return nil
	}
}

// onlyGroups makes cmd refuse to run without one of the commands below it, and
// name them. cobra alone would print the help and call that a success, also
// where a command was misspelt.
func onlyGroups(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		var names []string
		for _, below := range cmd.Commands() {
			names = append(names, below.Name())
		}
		known := strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
		if len(names) == 1 {
			known = names[0]
		}
		if len(args) > 0 {
			return badUsage(fmt.Errorf("%s has no command %q: %s", cmd.CommandPath(), args[0], known))
		}
		return badUsage(fmt.Errorf("%s needs a command: %s", cmd.CommandPath(), known))
	}
	cmd.RunE = func(*cobra.Command, []string) error { return nil } // Args refuses first
}

// execute runs a command line to its end, writes an error to stderr, and
// returns the exit code. An error before the command itself runs is a wrong
// command line, whatever it was that cobra found wrong with it.
func execute(root *cobra.Command, stderr io.Writer) int {
	ran := false
	markRuns(root, &ran)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "limpet:", err)
	if !ran {
		fmt.Fprintf(stderr, "Run '%s --help' for what there is.\n", cmd.CommandPath())
		return exitBadUsage
	}
	return exitCode(err)
}

// markRuns makes cmd and the commands below it set ran when they run.
func markRuns(cmd *cobra.Command, ran *bool) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*ran = true
			return run(cmd, args)
		}
	}
	for _, below := range cmd.Commands() {
		markRuns(below, ran)
	}
}
