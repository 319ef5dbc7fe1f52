package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/telemetry"
)

// What a gateway serves under /v1 and what its openapi.json describes are the
// same operations.
func TestOpenAPIDescribesWhatIsServed(t *testing.T) {
	n := startHere(t, "--uplink=discard")
	var served []string
	for _, route := range n.api.Routes() {
		if _, path, _ := strings.Cut(route, " "); strings.HasPrefix(path, "/v1/") {
			served = append(served, strings.ReplaceAll(route, "...}", "}"))
		}
	}
	var document struct{ Paths map[string]map[string]any }
	getJSON(t, n, "/v1/openapi.json", &document)
	var described []string
	for path, operations := range document.Paths {
		for method := range operations {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	if diff := cmp.Diff(described, served); diff != "" {
		t.Errorf("described (-) and served (+):\n%s", diff)
	}
}

// The names of all JSON that the API answers are of one style, and /v1/stats has
// the counters that openapi.json describes, each of them.
func TestNamesOfJSON(t *testing.T) {
	n := startHere(t) // with Kafka, so that no part is missing
	snake := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	for _, path := range []string{"/healthz", "/readyz", "/v1/stats", "/v1/snapshot", "/v1/info", "/v1/nodes", "/v1/log", "/v1/debug",
		"/v1/users/nobody", "/v1/groups/none", "/v1/sessions/none"} {
		var document any
		getJSON(t, n, path, &document)
		for _, name := range names(document, "") {
			if !snake.MatchString(name[strings.LastIndexByte(name, '/')+1:]) {
				t.Errorf("%s: %s is not in snake case", path, name)
			}
		}
	}
	var document struct {
		Components struct{ Schemas struct{ Stats schema } }
	}
	getJSON(t, n, "/v1/openapi.json", &document)
	var stats any
	getJSON(t, n, "/v1/stats", &stats)
	if diff := cmp.Diff(document.Components.Schemas.Stats.names(""), names(stats, "")); diff != "" {
		t.Errorf("/v1/stats, described (-) and served (+):\n%s", diff)
	}
}

// named are the objects whose members have data for names: reasons, keys of the
// configuration, the bounds of a histogram.
var named = []string{"closed", "admission", "within"}

// names returns the paths of the members of a JSON document; those of an array's
// elements count as its own.
func names(document any, below string) (all []string) {
	switch v := document.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = append(all, below+"/"+name)
			if !slices.Contains(named, name) {
				all = append(all, names(v[name], below+"/"+name)...)
			}
		}
	case []any:
		for _, element := range v {
			all = append(all, names(element, below)...)
		}
	}
	return all
}

// schema is what openapi.json says of an object.
type schema struct{ Properties map[string]schema }

func (s schema) names(below string) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		all = append(append(all, below+"/"+name), s.Properties[name].names(below+"/"+name)...)
	}
	return all
}

// startHere starts a node with flags in this process, and stops it with the test.
func startHere(t *testing.T, flags ...string) *node {
	t.Helper()
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.AddFlags(set)
	if err := set.Parse(append(flags, "--listen=127.0.0.1:0", "--api=127.0.0.1:0", "--loops=1")); err != nil {
		t.Fatal(err)
	}
	loaded, err := config.Load(set, nil)
	if err != nil {
		t.Fatal(err)
	}
	log, err := telemetry.NewLog(io.Discard, string(loaded.LogFormat), string(loaded.LogLevel))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{cfg: loaded.Serve, log: log.Logger, logs: log, started: time.Now(), incarnation: newIncarnation()}
	t.Cleanup(func() { _ = n.stop(stopTimeout) })
	if err := n.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return n
}

// getJSON decodes what n answers to path, whatever the status.
func getJSON(t *testing.T, n *node, path string, to any) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Get("http://" + n.api.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(to); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
