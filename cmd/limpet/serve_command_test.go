package main

import (
	"context"
	"strings"
	"testing"

	"github.com/limpet-gateway/limpet/internal/config"
)

// The gateway is started with the configuration, and only with one that has
// no fault and was not just to be printed.
func TestServeCommand(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		starts bool
		code   int
		stdout string
		stderr string
	}{
		"starts":        {[]string{"--loops", "3"}, true, 0, "", ""},
		"fault":         {[]string{"--loops", "many"}, false, exitBadUsage, "", `loops = "many" (flag --loops): want a whole number from 0 to 256`},
		"unknown flag":  {[]string{"--lops", "3"}, false, exitBadUsage, "", "unknown flag: --lops; did you mean --loops?"},
		"argument":      {[]string{"now"}, false, exitBadUsage, "", `limpet serve takes no arguments, but was given "now"`},
		"print":         {[]string{"--loops", "3", "--print-config"}, false, 0, "loops: 3", ""},
		"print a fault": {[]string{"--loops", "x", "--print-config"}, false, exitBadUsage, "", "1 fault in the configuration:"},
		"help":          {[]string{"--help"}, false, 0, "Time limits:\n      --heartbeat duration ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var started *config.Loaded
			root := newRootCommand()
			real, _, _ := root.Find([]string{"serve"})
			root.RemoveCommand(real)
			root.AddCommand(newServeCommand(func(_ context.Context, loaded *config.Loaded) error {
				started = loaded
				return nil
			}))
			var stdout, stderr strings.Builder
			root.SetOut(&stdout)
			root.SetErr(&stderr)
			root.SetArgs(append([]string{"serve"}, c.args...))
			code := execute(root, &stderr)
			if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("code %d, stdout %q, stderr %q; want %d, %q, %q", code, stdout.String(), stderr.String(), c.code, c.stdout, c.stderr)
			}
			if (started != nil) != c.starts {
				t.Fatalf("started %v, want %v", started != nil, c.starts)
			}
			if c.starts && started.Loops != 3 {
				t.Errorf("started with %d loops, want 3", started.Loops)
			}
		})
	}
}
