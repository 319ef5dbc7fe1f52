package config

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// again loads args, environ and a file, changes the file to text, and returns
// what is in force after a reload.
func again(t *testing.T, args, environ []string, before, after string) (*Loaded, Changes, error) {
	t.Helper()
	name := writeFile(t, before)
	first := mustLoad(t, append(args, "--config", name), environ, "")
	if err := os.WriteFile(name, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := first.Again()
	if err != nil {
		return first, Changes{}, err
	}
	return first.Merge(next)
}

// What is live changes; what is not stays and is named; flags and environment
// still win over the file.
func TestReload(t *testing.T) {
	got, changes, err := again(t, []string{"--heartbeat=9s"}, []string{"LIMPET_RETRY_AFTER=8s"},
		"rate-messages: 5\nloops: 2\nheartbeat: 11s\nretry-after: 7s\n",
		"rate-messages: 6\nloops: 3\nheartbeat: 12s\nretry-after: 6s\nrate-bytes: 1KiB\n")
	if err != nil {
		t.Fatal(err)
	}
	if got.RateMessages != 6 || got.RateBytes != 1024 || got.Loops != 2 || got.Heartbeat != 9*time.Second || got.RetryAfter != 8*time.Second {
		t.Errorf("rate-messages %d, rate-bytes %d, loops %d, heartbeat %v, retry-after %v; want 6, 1024, 2 as before, 9s of the flag, 8s of the environment",
			got.RateMessages, got.RateBytes, got.Loops, got.Heartbeat, got.RetryAfter)
	}
	if diff := cmp.Diff([]string{"rate-messages", "rate-bytes"}, changes.Changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"loops"}, changes.Restart); diff != "" {
		t.Errorf("restart (-want +got):\n%s", diff)
	}
	if n := len(changes.Changed) + len(changes.Restart) + len(changes.Unchanged); n != len(Keys()) || slices.Contains(changes.Unchanged, "loops") {
		t.Errorf("%d keys are in the lists, want each of %d once", n, len(Keys()))
	}
	if origin := got.origins["rate-bytes"].String(); !strings.HasSuffix(origin, "limpet.yaml:5") {
		t.Errorf("rate-bytes comes from %q, want line 5 of the file", origin)
	}

	// What waits for a restart is named by the next reload too, until the file
	// says again what is in force.
	next, err := got.Again()
	if err != nil {
		t.Fatal(err)
	}
	if _, changes, err = got.Merge(next); err != nil || len(changes.Changed) != 0 || !slices.Equal(changes.Restart, []string{"loops"}) {
		t.Errorf("a second reload: %+v, %v", changes, err)
	}
}

// Every fault of the file is in the answer of one reload, and what was in
// force is not touched.
func TestReloadFaults(t *testing.T) {
	for name, c := range map[string]struct {
		args          []string
		before, after string
		want          []string
	}{
		"bad values": {nil, "", "heartbeat: soon\nretry-after: 1ms\nratemessages: 5\n", []string{"heartbeat", "retry-after", "ratemessages"}},
		"no YAML":    {nil, "", "heartbeat: [", []string{""}},
		"disagree":   {nil, "", "outbound-limit: 4KiB\n", []string{"outbound-limit"}},
		// The larger message size needs a restart, so what is in force and
		// what comes would not fit.
		"disagree with what stays": {nil, "max-message-size: 1MiB\noutbound-limit: 2MiB\nmailbox-bytes: 2MiB\n", "outbound-limit: 64KiB\nmax-message-size: 4KiB\n", []string{"outbound-limit"}},
		"secret":                   {nil, "", "jwt-secret: tooshortasecret\n", []string{"jwt-secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := again(t, c.args, nil, c.before, c.after)
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("reload: %v, want faults", err)
			}
			got := map[string]bool{}
			for _, f := range faults {
				got[f.Key] = true
			}
			for _, key := range c.want {
				if !got[key] {
					t.Errorf("no fault of %q in %v", key, faults)
				}
			}
			if strings.Contains(err.Error(), "tooshortasecret") {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}

// Who changes a key that needs a restart together with one that does not is
// told that the first is the reason why the second does not fit.
func TestReloadFaultNamesWhatNeedsARestart(t *testing.T) {
	_, _, err := again(t, nil, nil, "auth: jwt\njwt-secret: "+goodSecret+"\n",
		"auth: [webhook, jwt]\nwebhook-url: http://127.0.0.1:9/\nloops: 3\njwt-secret: "+goodSecret+"\n")
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Key != "webhook-url" {
		t.Fatalf("reload: %v, want a fault of webhook-url", err)
	}
	const want = "has no effect, since auth does not name webhook (with the values in force; of auth, loops there are new ones, which need a restart)"
	if got := faults[0].Problem; got != want {
		t.Errorf("the problem is %q, want %q", got, want)
	}
}

func TestReloadWithoutFile(t *testing.T) {
	first := mustLoad(t, []string{"--loops=2"}, nil, "")
	if first.File() != "" {
		t.Errorf("the file is %q, want none", first.File())
	}
	next, err := first.Again()
	if err != nil {
		t.Fatal(err)
	}
	got, changes, err := first.Merge(next)
	if err != nil || len(changes.Changed)+len(changes.Restart) != 0 {
		t.Fatalf("%+v, %v", changes, err)
	}
	if diff := cmp.Diff(first.Serve, got.Serve); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// Whatever a file holds: loading ends, does not panic, gives faults or a
// configuration; each fault names a source and no secret; what loads can be
// printed, and is the same when it is read again.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"", "# nothing\n", "max-conns: 5\n", "heartbeat: 11s\nkafka: [a:1, 'b:2']\n", "listen: 127.0.0.1\nlisten: x\n", "a: &x [*x]\n",
		"auth: jwt\njwt-secret: hunter2-hunter2-hunter2-hunter2-hunter2\n", "jwt-secret: hunter2-short\n", "- a\n- b\n", "max-conns: {a: 1}\n",
		"redis: redis://user:hunter2-x@h:1\n", "priority-rules: 'prefix:\\x00=low,json:p'\n", "memory-limit: 10%\n", "---\na: 1\n---\n", "\xff\xfe", "data-dir:\n",
		"origins: ['https://*.example.com', null]\n", "<<: {max-conns: 1}\n",
	} {
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		name := dir + "/limpet.yaml"
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		AddFlags(flags)
		loaded, err := Load(flags, []string{"LIMPET_CONFIG=" + name})
		if err != nil {
			var faults Faults
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("the error is %v, want faults", err)
			}
			for _, fault := range faults {
				if fault.Origin.String() == "" || fault.Problem == "" {
					t.Errorf("%+v lacks a source or a problem", fault)
				}
				if isKey := slices.ContainsFunc(keys, func(k Key) bool { return k.Name == fault.Key && k.Secret }); isKey && fault.Value != "" && fault.Value != Hidden && fault.Key != "redis" {
					t.Errorf("a secret is shown: %v", fault)
				}
			}
			return
		}
		var printed strings.Builder
		if err := loaded.WriteYAML(&printed); err != nil {
			t.Fatal(err)
		}
		next, err := loaded.Again()
		if err != nil {
			t.Fatalf("read again: %v", err)
		}
		if _, changes, err := loaded.Merge(next); err != nil || len(changes.Changed)+len(changes.Restart) > 0 {
			t.Fatalf("the same file again: %+v, %v", changes, err)
		}
	})
}
