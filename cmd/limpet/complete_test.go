package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// complete returns what the shell would be offered, and whether files too.
func complete(t *testing.T, words ...string) (offers []string, files bool) {
	t.Helper()
	root := newRootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd}, words...))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := lines[len(lines)-1]
	return lines[:len(lines)-1], last == ":0"
}

func TestCompletion(t *testing.T) {
	for line, want := range map[string]string{
		"serve --uplink ":                     "kafka echo discard",
		"serve --log-level ":                  "debug info warn error",
		"serve --uplink=":                     "kafka echo discard",
		"serve --events=":                     "true false",
		"serve --max-conns ":                  "",
		"push --priority ":                    "high medium low",
		"push --to ":                          "user: session: group: all",
		"sysctl render --format ":             "sysctl limits systemd docker k8s markdown",
		"bench echo --spawn limpet,nethttp,g": "limpet,nethttp,limpet-watched limpet,nethttp,gin limpet,nethttp,echo limpet,nethttp,gnet limpet,nethttp,nethttp-1g limpet,nethttp,gin-1g limpet,nethttp,echo-1g",
		"serve --auth jwt,":                   "jwt,none jwt,webhook",
		"profile ":                            "cpu goroutine heap",
		"stats ":                              "",
		"sysctl ch":                           "check",
		"completion ":                         "bash zsh fish powershell",
	} {
		got, files := complete(t, strings.Split(line, " ")...)
		if strings.Join(got, " ") != want || files {
			t.Errorf("%q: %q, files too: %v; want %q alone", line, got, files, want)
		}
	}
	for _, line := range []string{"serve --config ", "serve --data-dir ", "profile cpu -o ", "bench echo --json ", "bench compare "} {
		if got, files := complete(t, strings.Split(line, " ")...); len(got) > 0 || !files {
			t.Errorf("%q: %q, want files", line, got)
		}
	}
}

// No flag of any command is left to the shell's guess, which is files.
func TestCompletionOfEveryFlag(t *testing.T) {
	var visit func(*cobra.Command)
	n := 0
	visit = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			n++
			if _, ok := cmd.GetFlagCompletionFunc(f.Name); !ok {
				t.Errorf("%s --%s has none", cmd.CommandPath(), f.Name)
			}
		})
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	root := newRootCommand()
	visit(root)
	if n < 100 {
		t.Errorf("%d flags", n)
	}
	for _, cmd := range root.Commands() {
		if cmd.HasSubCommands() || cmd.Hidden {
			continue
		}
		if _, files := complete(t, cmd.Name(), ""); files {
			t.Errorf("%s offers files as arguments", cmd.Name())
		}
	}
	if !slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == "stats" }) {
		t.Error("there is no stats")
	}
}
