package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
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
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse([]string{"--uplink=discard", "--listen=127.0.0.1:0", "--api=127.0.0.1:0", "--loops=1"}); err != nil {
		t.Fatal(err)
	}
	loaded, err := config.Load(flags, nil)
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
	var served []string
	for _, route := range n.api.Routes() {
		if _, path, _ := strings.Cut(route, " "); strings.HasPrefix(path, "/v1/") {
			served = append(served, strings.ReplaceAll(route, "...}", "}"))
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Get("http://" + n.api.Addr() + "/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var document struct{ Paths map[string]map[string]any }
	if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
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
