package main

import (
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run this program as the command limpet: it is the
// test binary itself, started again.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"limpet": main})
}

// scriptTime bounds the scripts together, beside other tests; what still runs
// then is killed.
const scriptTime = 150 * time.Second

// TestScripts runs the conversations with the command line in testdata/script.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Deadline:            time.Now().Add(scriptTime),
		Setup: func(env *testscript.Env) error {
			env.Setenv("TMPDIR", os.TempDir())
			return nil
		},
	})
}
