package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/pflag"

	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/telemetry"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
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

// What a gateway answers is what its openapi.json says: no member is missing, of
// another type, or not described. Every operation is tried whose answer is JSON.
func TestAnswersFollowOpenAPI(t *testing.T) {
	n := startHere(t, "--redis="+redistest.Start(t).URL(), "--auth=jwt", "--jwt-secret="+jwtSecret) // all parts of it
	c, _, err := websocket.DefaultDialer.Dial("ws://"+n.engine.Addr().String()+"/ws", http.Header{"Authorization": {"Bearer " + token(t, "dev1", time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o := readOpenAPI(t, n)
	var user struct{ Sessions []struct{ ID string } }
	for end := time.Now().Add(patience); len(user.Sessions) == 0; time.Sleep(10 * time.Millisecond) { // until Redis knows
		if time.Now().After(end) {
			t.Fatal("dev1 has no session")
		}
		o.try(t, n, "GET", "/v1/users/{user}", "/v1/users/dev1", "", &user)
	}
	id := user.Sessions[0].ID
	for _, r := range []struct{ method, template, path, body string }{
		{"GET", "/v1/users/{user}", "/v1/users/nobody", ""},
		{"PUT", "/v1/groups/{group}/members/{user}", "/v1/groups/g/members/dev1", ""},
		{"GET", "/v1/groups/{group}", "/v1/groups/g", ""},
		{"POST", "/v1/push", "/v1/push", `{"to":["user:dev1","user:nobody","group:g"],"data":"x","ttl":"1m","id":"i"}`},
		{"POST", "/v1/push", "/v1/push", `{"to":["user:dev1"]}`},
		{"POST", "/v1/broadcast", "/v1/broadcast", `{"data_base64":"AP8=","priority":"low"}`},
		{"GET", "/v1/sessions/{session}", "/v1/sessions/" + id, ""},
		{"GET", "/v1/nodes", "/v1/nodes", ""},
		{"GET", "/v1/stats", "/v1/stats", ""},
		{"GET", "/v1/snapshot", "/v1/snapshot", ""},
		{"GET", "/v1/info", "/v1/info", ""},
		{"GET", "/v1/openapi.json", "/v1/openapi.json", ""},
		{"GET", "/v1/log", "/v1/log", ""},
		{"PUT", "/v1/log", "/v1/log", `{"level":"warn"}`},
		{"PUT", "/v1/debug/{principal}", "/v1/debug/dev1?for=1m", ""},
		{"GET", "/v1/debug", "/v1/debug", ""},
		{"DELETE", "/v1/debug/{principal}", "/v1/debug/dev1", ""},
		{"POST", "/v1/reload", "/v1/reload", ""},
		{"POST", "/v1/refresh", "/v1/refresh", `{"token":"` + token(t, "dev1", 2*time.Hour) + `"}`},
		{"DELETE", "/v1/groups/{group}/members/{user}", "/v1/groups/g/members/dev1", ""},
		{"DELETE", "/v1/sessions/{session}", "/v1/sessions/" + id, ""},
		{"DELETE", "/v1/users/{user}", "/v1/users/dev1", ""},
	} {
		o.try(t, n, r.method, r.template, r.path, r.body, nil)
	}
	for path, operations := range o.document["paths"].(map[string]any) {
		for method := range operations.(map[string]any) {
			operation := strings.ToUpper(method) + " " + path
			if _, tried := o.tried[operation]; !tried && path != "/v1/live" && !strings.HasPrefix(path, "/v1/registry/") {
				t.Errorf("%s is not tried", operation)
			}
		}
	}
}

// openAPI is the description that a node serves.
type openAPI struct {
	document map[string]any
	compiler *jsonschema.Compiler
	tried    map[string]bool // operations
}

func readOpenAPI(t *testing.T, n *node) *openAPI {
	t.Helper()
	o := &openAPI{compiler: jsonschema.NewCompiler(), tried: map[string]bool{}}
	getJSON(t, n, "/v1/openapi.json", &o.document)
	o.closeSchemas(o.document)
	o.compiler.AssertFormat()
	if err := o.compiler.AddResource("openapi.json", o.document); err != nil {
		t.Fatal(err)
	}
	return o
}

// closeSchemas has every object that lists its members have no others, those of
// a schema that it extends included.
func (o *openAPI) closeSchemas(of any) {
	switch v := of.(type) {
	case map[string]any:
		for _, below := range v {
			o.closeSchemas(below)
		}
		members, listed := v["properties"].(map[string]any)
		if _, said := v["additionalProperties"]; !listed || said {
			return
		}
		for _, extended := range asList(v["allOf"]) {
			name := strings.TrimPrefix(extended.(map[string]any)["$ref"].(string), "#/components/schemas/")
			base := o.document["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any)
			maps.Copy(members, base["properties"].(map[string]any))
			v["required"] = append(asList(v["required"]), asList(base["required"])...)
		}
		delete(v, "allOf") // would be closed too
		v["additionalProperties"] = false
	case []any:
		for _, below := range v {
			o.closeSchemas(below)
		}
	}
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// try sends a request and compares the answer with what is described for its
// status, and the names of its members with the style of them all.
func (o *openAPI) try(t *testing.T, n *node, method, template, path, body string, to any) {
	t.Helper()
	o.tried[method+" "+template] = true
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.api.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	kind, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	if answer.StatusCode == http.StatusNoContent {
		return
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	schema, err := o.compiler.Compile(fmt.Sprintf("openapi.json#/paths/%s/%s/responses/%d/content/%s/schema",
		escape.Replace(template), strings.ToLower(method), answer.StatusCode, escape.Replace(kind)))
	if err != nil {
		t.Errorf("%s %s: %s: %v", method, path, answer.Status, err)
		return
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return
	}
	if err := schema.Validate(document); err != nil {
		t.Errorf("%s %s: %.500s\n%v", method, path, text, err)
	}
	if template != "/v1/openapi.json" {
		expectSnakeCase(t, path, document, "")
	}
	if to != nil {
		if err := json.Unmarshal(text, to); err != nil {
			t.Fatal(err)
		}
	}
}

// The probes are under no version, and their names are of the same style.
func TestNamesOfProbes(t *testing.T) {
	n := startHere(t, "--uplink=discard")
	for _, path := range []string{"/healthz", "/readyz"} {
		var document any
		getJSON(t, n, path, &document)
		expectSnakeCase(t, path, document, "")
	}
}

// named are the objects whose members have data for names: reasons, keys of the
// configuration, the bounds of a histogram.
var named = []string{"closed", "admission", "within"}

// snakeCase is the style of the names in all JSON that the API answers.
var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// expectSnakeCase looks at the names of all members.
func expectSnakeCase(t *testing.T, of string, document any, below string) {
	t.Helper()
	switch v := document.(type) {
	case map[string]any:
		for name, member := range v {
			if !snakeCase.MatchString(name) {
				t.Errorf("%s: %s/%s is not in snake case", of, below, name)
			}
			if !slices.Contains(named, name) {
				expectSnakeCase(t, of, member, below+"/"+name)
			}
		}
	case []any:
		for _, element := range v {
			expectSnakeCase(t, of, element, below)
		}
	}
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
