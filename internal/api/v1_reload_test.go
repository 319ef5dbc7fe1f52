package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A reload answers with lists, never null; with all faults as one problem
// document; and with 409 for what cannot be done now.
func TestReload(t *testing.T) {
	f, n := startV1(t, V1Config{BroadcastRate: 1})
	answer, body := f.do("POST", "/v1/reload", "")
	var got any
	if err := json.Unmarshal([]byte(body), &got); err != nil || answer.StatusCode != 200 {
		t.Fatalf("%s %s: %v", answer.Status, body, err)
	}
	want := map[string]any{"file": "limpet.yaml", "changed": []any{"rate-messages"}, "restart": []any{}, "unchanged": []any{}}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}

	n.reloadErr = Faults{{Source: "limpet.yaml", Problem: "cannot read it: permission denied"}, {"jwt-secret", "(hidden)", "limpet.yaml:3", "want 32 to 4096 bytes"}}
	answer, body = f.do("POST", "/v1/reload", "")
	got = nil
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want = map[string]any{
		"type": "urn:limpet:problem:configuration", "title": "The configuration has faults", "status": 422.0,
		"detail": "2 faults in the configuration; everything stays as it was",
		"faults": []any{
			map[string]any{"source": "limpet.yaml", "problem": "cannot read it: permission denied"},
			map[string]any{"key": "jwt-secret", "value": "(hidden)", "source": "limpet.yaml:3", "problem": "want 32 to 4096 bytes"},
		},
	}
	if diff := cmp.Diff(any(want), got); diff != "" || answer.StatusCode != 422 || answer.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s (-want +got):\n%s", answer.Status, answer.Header.Get("Content-Type"), diff)
	}

	n.reloadErr = fmt.Errorf("%w: the gateway is draining", ErrConflict)
	if answer, body = f.do("POST", "/v1/reload", ""); answer.StatusCode != 409 || !strings.Contains(body, "draining") {
		t.Errorf("%s %s, want 409 with the reason", answer.Status, body)
	}
}

// A new token and a new rate count from the next request on.
func TestTuneV1(t *testing.T) {
	f, _ := startV1(t, V1Config{BroadcastRate: 1000})
	if answer, _ := f.do("GET", "/v1/nodes", ""); answer.StatusCode != 200 {
		t.Fatalf("without a token: %s", answer.Status)
	}
	f.TuneV1(V1Config{Token: "0123456789abcdef", BroadcastRate: 1000})
	if answer, _ := f.do("GET", "/v1/nodes", ""); answer.StatusCode != 401 {
		t.Errorf("without the new token: %s, want 401", answer.Status)
	}
	f.TuneV1(V1Config{BroadcastRate: 1})
	refused := 0
	for range 20 { // at 1 a second
		if answer, body := f.do("POST", "/v1/broadcast", `{"data":"x"}`); answer.StatusCode == 429 && strings.Contains(body, "more than 1 broadcasts") {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no broadcast is refused at the new rate")
	}
}
