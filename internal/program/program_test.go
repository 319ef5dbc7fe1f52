package program

import (
	"runtime"
	"strings"
	"testing"
)

// end is a test that notes how it ends.
type end struct {
	testing.TB
	how string
}

func (e *end) Helper()        {}
func (e *end) Fatal(a ...any) { e.how = "failed: " + a[0].(string); runtime.Goexit() }
func (e *end) Skip(a ...any)  { e.how = "skipped: " + a[0].(string); runtime.Goexit() }

func require(name string) (path, how string) {
	e := &end{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		path = Require(e, name, "some-package")
	}()
	<-done
	return path, e.how
}

// CI never passes by a test that it left out.
func TestMissingProgram(t *testing.T) {
	for ci, want := range map[string]string{"true": "failed: ", "": "skipped: "} {
		t.Setenv("CI", ci)
		if _, how := require("no-such-program"); how != want+"no-such-program is not installed: apt-get install some-package" {
			t.Errorf("CI=%q: %q, want it %s", ci, how, want)
		}
	}
}

func TestProgramThatIsThere(t *testing.T) {
	if path, how := require("go"); how != "" || !strings.HasSuffix(path, "/go") {
		t.Errorf("%q, %q", path, how)
	}
}
