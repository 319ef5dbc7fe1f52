package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func printed(t *testing.T, l *Loaded) string {
	t.Helper()
	var b strings.Builder
	if err := l.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What is printed can be loaded again and gives the same configuration.
func TestPrintedConfigurationLoadsAgain(t *testing.T) {
	first := mustLoad(t, []string{
		"--kafka", "10.0.0.1:9092,[::1]:9092", "--subprotocols", "v2,v1,#,null,true", "--node", "007", "--topic-prefix", "",
		"--data-dir", "/var/lib: limpet # 'x'", "--max-message-size", "100KiB", "--memory-limit", "3GiB",
		"--listen", ":0", "--insecure-no-auth", "--drain-window", "90s", "--deflate",
	}, nil, "")
	second := mustLoad(t, nil, nil, printed(t, first))
	if diff := cmp.Diff(first.Serve, second.Serve); diff != "" {
		t.Errorf("loaded again (-first +second):\n%s", diff)
	}
}

func TestPrintedSources(t *testing.T) {
	text := printed(t, mustLoad(t, []string{"--loops=2"}, []string{"LIMPET_NODE=gw-1"}, "deflate: true"))
	for _, want := range []string{
		"# Effective configuration of limpet serve.\n\n# Addresses\nlisten: 127.0.0.1:8080 ",
		"\nloops: 2                             # flag --loops\n",
		"\nnode: gw-1                           # environment LIMPET_NODE\n",
		"\nkafka: []                            # default: the embedded broker\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	if !strings.Contains(directory.ReplaceAllString(text, "limpet.yaml"), "\ndeflate: true                        # limpet.yaml:1\n") {
		t.Errorf("the line of deflate does not name the file:\n%s", text)
	}
}

// A secret shows in no output: not in the effective configuration, not in a
// fault, and what is shown in its place is not taken for the secret.
func TestSecretsAreHidden(t *testing.T) {
	var secret string
	saved := keys
	t.Cleanup(func() { keys = saved })
	keys = append(Keys(), Key{Name: "password", Section: "Safety", Help: "for this test", Secret: true,
		bind: func(*Serve) value {
			return checked(&secret, "text", "less than 10 letters", asIs, func(text string) (string, bool) { return text, len(text) < 10 })
		}})

	loaded := mustLoad(t, nil, []string{"LIMPET_PASSWORD=hunter2"}, "")
	if secret != "hunter2" {
		t.Fatalf("the secret is %q, want hunter2", secret)
	}
	text := printed(t, loaded)
	if strings.Contains(text, "hunter2") || !strings.Contains(text, "password: (hidden)                   # environment LIMPET_PASSWORD\n") {
		t.Errorf("printed:\n%s", text)
	}
	loaded = mustLoad(t, []string{"--auth=jwt,webhook", "--jwt-jwks=https://keys.example/set?key=hunter3", "--webhook-url=https://hook.example/"}, nil, "")
	text = printed(t, loaded)
	if strings.Contains(text, "hunter3") || !strings.Contains(text, "jwt-jwks: https://keys.example/set?(hidden) ") || !strings.Contains(text, "webhook-url: https://hook.example/ ") {
		t.Errorf("printed:\n%s", text)
	}
	for value, want := range map[string]string{
		"ftp://keys.example/?key=hunter3":   `jwt-jwks = "ftp://keys.example/?(hidden)" (flag --jwt-jwks): want an http:// or https:// URL without user name, password and fragment`,
		"https://keys.example/set?(hidden)": `jwt-jwks = "https://keys.example/set?(hidden)" (flag --jwt-jwks): this is what --print-config shows in place of a secret, not the secret`,
	} {
		if diff := cmp.Diff([]string{want}, faultsOf(t, []string{"--auth=jwt", "--jwt-jwks", value}, nil, "")); diff != "" {
			t.Errorf("faults (-want +got):\n%s", diff)
		}
	}
	want := []string{`password = "(hidden)" (flag --password): want less than 10 letters`}
	if diff := cmp.Diff(want, faultsOf(t, []string{"--password", "correct horse battery"}, nil, "")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	want = []string{`password = "(hidden)" (limpet.yaml:1): this is what --print-config shows in place of a secret, not the secret`}
	if diff := cmp.Diff(want, faultsOf(t, nil, nil, "password: (hidden)")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// What somebody gives by mistake may be a secret all the same: under a name that
// is wrong by a letter, in a URL that cannot be read, to YAML as a reference.
func TestMistakenSecretsAreHidden(t *testing.T) {
	for name, c := range map[string]struct {
		args, env []string
		file      string
		want      string // in the fault
	}{
		"unknown key":           {file: "jwt-secert: hunter2", want: "jwt-secret"},
		"unknown variable":      {env: []string{"LIMPET_API_TOKN=hunter2"}, want: "LIMPET_API_TOKEN"},
		"reference":             {file: "jwt-secret: *hunter2", want: "quote it"},
		"element of a list":     {args: []string{"--kafka", "sasl://me:hunter2@10.0.0.1:9092"}, want: "(hidden)@10.0.0.1"},
		"slash in a password":   {args: []string{"--trace-endpoint", "https://me:hunter2/hunter2@a.example/"}, want: "https://(hidden)@a.example/"},
		"at sign in a password": {args: []string{"--trace-endpoint", "https://me:hunter2@hunter2@a.example/"}, want: "https://(hidden)@a.example/"},
		"space in a password":   {args: []string{"--trace-endpoint", "https://me:hunter2 hunter2@a.example/"}, want: "https://(hidden)@a.example/"},
		"no slashes":            {args: []string{"--trace-endpoint", "https:me:hunter2@a.example/"}, want: "(hidden)@a.example/"},
		"space in a query":      {args: []string{"--trace-endpoint", "ftp://a.example/?a=hunter2 hunter2"}, want: "ftp://a.example/?(hidden)"},
		"fragment":              {args: []string{"--trace-endpoint", "https://a.example/#hunter2"}, want: "https://a.example/#(hidden)"},
	} {
		faults := faultsOf(t, c.args, c.env, c.file)
		for _, fault := range faults {
			if strings.Contains(fault, "hunter2") {
				t.Errorf("%s: the fault tells the secret: %s", name, fault)
			}
		}
		if len(faults) == 0 || !strings.Contains(faults[0], c.want) {
			t.Errorf("%s: faults %q, want %q in the first", name, faults, c.want)
		}
	}
	// An @ in the path of a URL is part of it, and is printed.
	if text := printed(t, mustLoad(t, []string{"--trace-endpoint", "https://a.example/@b"}, nil, "")); !strings.Contains(text, "trace-endpoint: https://a.example/@b ") {
		t.Errorf("printed:\n%s", text)
	}
}

// Every row is complete, and its default passes its own check.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, key := range Keys() {
		if seen[key.Name] {
			t.Errorf("%s is there twice", key.Name)
		}
		seen[key.Name] = true
		if key.Help == "" || key.Section == "" || key.bind == nil {
			t.Errorf("%s lacks help, section or field", key.Name)
		}
		if key.Default == "" && key.DefaultNote == "" {
			t.Errorf("%s has neither a default nor a note about it", key.Name)
		}
		if key.Name != "node" {
			if problem := check(key, key.Default); problem != "" {
				t.Errorf("%s: its default %q: %s", key.Name, key.Default, problem)
			}
		}
		var c Serve
		if v := key.bind(&c); key.Name != "node" && v.set(key.Default) == nil && v.text() != key.Default {
			t.Errorf("%s: its default is written %q, and printed %q", key.Name, key.Default, v.text())
		}
	}
}
