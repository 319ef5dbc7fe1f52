package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// run executes a command line and returns its exit code and what it says of an
// error.
func run(words ...string) (code int, stderr string) {
	root := newRootCommand()
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(words)
	return execute(root, &errs), errs.String()
}

// A word that no command knows is a wrong command line, wherever it stands.
func TestEveryCommandRefusesWordsItDoesNotKnow(t *testing.T) {
	takes := map[string][]string{ // how many words a command takes
		"limpet push":          {"data"},
		"limpet where":         {"dev1"},
		"limpet profile":       {"cpu"},
		"limpet bench compare": {"a.json", "b.json"},
	}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		words := strings.Fields(cmd.CommandPath())[1:]
		words = append(slices.Concat(words, takes[cmd.CommandPath()]), "nonsense")
		if code, text := run(words...); code != exitBadUsage || strings.Contains(text, "arg(s)") || cmd.HasParent() && strings.Contains(text, "unknown command") {
			t.Errorf("limpet %s: exit code %d: %s", strings.Join(words, " "), code, text)
		}
		if cmd.HasSubCommands() && cmd.HasParent() {
			if code, text := run(words[:len(words)-1]...); code != exitBadUsage || !strings.Contains(text, cmd.Commands()[0].Name()) {
				t.Errorf("%s alone: exit code %d: %s", cmd.CommandPath(), code, text)
			}
		}
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	visit(newRootCommand())
}
