package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/limpet-gateway/limpet/bench/target"
)

// flagWords are the values of flags that are not configuration: those of serve
// name theirs in their type.
var flagWords = map[string][]string{
	"opcode":    {"text", "binary"},
	"priority":  {"high", "medium", "low"},
	"format":    {"sysctl", "limits", "systemd", "docker", "k8s", "markdown"},
	"fd-tables": {"auto", "shared", "per-loop"},
	"spawn":     target.Names(),
}

// fileFlags take the name of a file or directory.
var fileFlags = map[string]bool{
	"config": true, "output": true, "json": true, "html": true, "baselines": true, "bench-results": true, "root": true, "restore-file": true,
}

// addCompletion has the shell offer what each flag of cmd, and of the commands
// below it, can be given: words where they are listed, files where one is meant,
// and nothing where only the user knows.
func addCompletion(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		// It fails only for a flag that has one already.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, flagCompletion(f))
	})
	takesFiles := cmd.Name() == "compare"
	if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 && !cmd.HasSubCommands() && !takesFiles {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, below := range cmd.Commands() {
		addCompletion(below)
	}
}

func flagCompletion(f *pflag.Flag) cobra.CompletionFunc {
	kind, list := strings.CutSuffix(f.Value.Type(), ",...")
	list = list || kind == "stringSlice"
	switch {
	case kind == "bool":
		return cobra.FixedCompletions([]cobra.Completion{"true", "false"}, cobra.ShellCompDirectiveNoFileComp)
	case strings.Contains(kind, "|"):
		return oneOf(strings.Split(kind, "|"), list)
	case f.Name == "to":
		return cobra.FixedCompletions([]cobra.Completion{"user:", "session:", "group:", "all"}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
	case flagWords[f.Name] != nil:
		return oneOf(flagWords[f.Name], list)
	case fileFlags[f.Name] || kind == "path" || kind == "file":
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	default:
		return cobra.NoFileCompletions
	}
}

// oneOf offers words; in a list, those that are not in it yet, behind what is
// there: the shell takes only what begins with the whole of it.
func oneOf(words []string, list bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		before := ""
		if list {
			before = typed[:strings.LastIndexByte(typed, ',')+1]
		}
		var offers []cobra.Completion
		for _, w := range words {
			if !slices.Contains(strings.Split(before, ","), w) {
				offers = append(offers, before+w)
			}
		}
		return offers, cobra.ShellCompDirectiveNoFileComp
	}
}
