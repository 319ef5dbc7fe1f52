package ci

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const script = "../../.ci/vuln"

// written makes a directory of files, by name.
func written(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// database is one in the form of https://go.dev/security/vuln/database, with
// nothing in it, or with an invented entry for net/url.Parse.
func database(t *testing.T, invented bool) string {
	files := map[string]string{"index/db.json": `{"modified":"2026-01-01T00:00:00Z"}`, "index/modules.json": `[]`}
	if invented {
		files["index/modules.json"] = `[{"path":"stdlib","vulns":[{"id":"GO-2099-0001","modified":"2026-01-01T00:00:00Z","fixed":"1.999.0"}]}]`
		files["ID/GO-2099-0001.json"] = `{"schema_version":"1.3.1","id":"GO-2099-0001","modified":"2026-01-01T00:00:00Z","published":"2026-01-01T00:00:00Z",
			"summary":"invented for a test","details":"invented for a test","affected":[{"package":{"name":"stdlib","ecosystem":"Go"},
			"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.999.0"}]}],
			"ecosystem_specific":{"imports":[{"path":"net/url","symbols":["Parse"]}]}}],"database_specific":{"url":"https://example.com/","review_status":"REVIEWED"}}`
	}
	return "file://" + written(t, files)
}

func module(t *testing.T, code string) string {
	return written(t, map[string]string{"go.mod": "module example.com/m\n\ngo 1.26.0\n", "main.go": code})
}

func serving(t *testing.T, handler http.HandlerFunc) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	return server.URL
}

// A vulnerability in what is called fails; a database that is out of reach is
// told and does not; anything else that goes wrong is not taken for either.
func TestVuln(t *testing.T) {
	if _, err := os.ReadFile(script); err != nil { // also has the test run again when the script changes
		t.Fatal(err)
	}
	calls := "package main\n\nimport \"net/url\"\n\nfunc main() { _, _ = url.Parse(\"http://x\") }\n"
	imports := "package main\n\nimport \"net/url\"\n\nfunc main() { _ = url.QueryEscape(\"x\") }\n"

	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing.Close()
	for name, c := range map[string]struct {
		db, code string
		exit     int
		says     string
	}{
		"nothing known":     {database(t, false), calls, 0, "none in module"},
		"called":            {database(t, true), calls, 1, "GO-2099-0001"},
		"imported only":     {database(t, true), imports, 0, "none in module"},
		"connection denied": {"http://" + refusing.Addr().String(), calls, 0, "NOT CHECKED"},
		"proxy that denies": {serving(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }), calls, 0, "NOT CHECKED"},
		"no answer":         {serving(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), calls, 0, "no answer in 3 s"},
		"no such directory": {"file:///nonexistent", calls, 2, "the check failed"},
		"does not compile":  {database(t, false), "package main\n\nfunc main() { undefined() }\n", 2, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("bash", script, module(t, c.code))
			cmd.Env = append(os.Environ(), "VULNDB="+c.db, "VULN_PROBE_LIMIT=60")
			if name == "no answer" {
				cmd.Env = append(cmd.Env, "VULN_PROBE_LIMIT=3")
			}
			out, err := cmd.CombinedOutput()
			var failed *exec.ExitError
			if err != nil && !errors.As(err, &failed) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != c.exit || !strings.Contains(string(out), c.says) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, c.exit, c.says, out)
			}
		})
	}
}
