package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeNode is a V1 with one user that remembers what it was asked.
type fakeNode struct {
	pushes []Push
	orders []Order
	err    error

	reloadErr error
}

func (n *fakeNode) result(to string) Pushed {
	if strings.Contains(to, "nobody") {
		return Pushed{To: to, Result: "offline"}
	}
	if strings.Contains(to, "crowded") {
		return Pushed{To: to, Result: "full", Full: 1}
	}
	return Pushed{To: to, Result: "delivered", Delivered: 1}
}

func (n *fakeNode) Push(_ context.Context, pushes []Push) (out []Pushed, err error) {
	n.pushes = append(n.pushes, pushes...)
	for _, p := range pushes {
		out = append(out, n.result(p.To))
	}
	return out, n.err
}

func (n *fakeNode) Order(_ context.Context, o Order) (Pushed, error) {
	n.orders = append(n.orders, o)
	return n.result(o.To), n.err
}

var oneSession = Session{ID: strings.Repeat("0", 31) + "1", Principal: "dev/1", Node: "n1", Epoch: 5, Since: time.Unix(1e9, 0).UTC()}

func (n *fakeNode) Sessions(_ context.Context, principal string) ([]Session, error) {
	if principal != "dev/1" {
		return nil, n.err
	}
	return []Session{oneSession}, n.err
}

func (n *fakeNode) Session(_ context.Context, id string) (*Session, error) {
	if id != oneSession.ID {
		return nil, n.err
	}
	return &oneSession, n.err
}

func (n *fakeNode) Group(_ context.Context, name string) (Group, error) {
	return Group{Name: name, Members: 2, Nodes: []GroupOnNode{{"n1", 2}}}, n.err
}

func (n *fakeNode) Nodes(context.Context) ([]Node, error) {
	return []Node{{Node: "n1", Incarnation: "0000000000000001", Sessions: 1, Alive: true}}, n.err
}

func (n *fakeNode) Refresh(_ context.Context, token string) (Refreshed, error) {
	switch token {
	case "good":
		return Refreshed{Principal: "dev/1", Expires: &oneSession.Since, Pushed: n.result("user:dev/1")}, nil
	case "nobody":
		return Refreshed{Principal: "nobody", Pushed: n.result("user:nobody")}, nil
	case "unasked":
		return Refreshed{}, &Denied{Reason: "authentication is not available at the moment"}
	case "open":
		return Refreshed{}, fmt.Errorf("%w: nobody has to authenticate", ErrConflict)
	}
	return Refreshed{}, &Denied{Available: true, Reason: "the token has expired"}
}

func (n *fakeNode) Reload(context.Context) (Reloaded, error) {
	return Reloaded{File: "limpet.yaml", Changed: []string{"rate-messages"}}, n.reloadErr
}

func (n *fakeNode) Stats() any { return map[string]int{"sessions": 1} }

func startV1(t *testing.T, c V1Config) (*fixture, *fakeNode) {
	t.Helper()
	f, n := start(t, nil), &fakeNode{}
	f.HandleV1(n, c)
	return f, n
}

// serveRest adds what is under /v1 beside HandleV1.
func (f *fixture) serveRest() {
	log := &fakeLevel{}
	_ = log.SetLevel("info")
	f.ServeLogLevel(log)
	f.ServeSnapshots(func() any { return map[string]int{"sessions": 1} })
	f.ServeWatch(Watch{
		Add: func(who string, _ time.Duration, _ int) (any, error) {
			if who == "crowded" {
				return nil, errors.New("no room")
			}
			return map[string]string{"principal": who}, nil
		},
		Remove:  func(who string) bool { return who != "nobody" },
		List:    func() any { return []string{} },
		Default: time.Minute, Max: time.Hour,
	})
}

// Every operation that is described is tried, and every status that a request
// here gets is described. That nothing is served without being described is
// tested where all of it comes together, in cmd.
func TestOpenAPI(t *testing.T) {
	var document struct {
		Paths map[string]map[string]struct {
			Summary   string
			Responses map[string]any
		}
	}
	if err := json.Unmarshal(openAPI, &document); err != nil {
		t.Fatal(err)
	}
	var described []string
	for path, operations := range document.Paths {
		for method, o := range operations {
			described = append(described, strings.ToUpper(method)+" "+path)
			if o.Summary == "" {
				t.Errorf("%s %s has no summary", method, path)
			}
		}
	}
	f, n := startV1(t, V1Config{BroadcastRate: 1})
	f.serveRest()
	id := oneSession.ID
	tried := map[string]bool{}
	for _, c := range []struct {
		method, path, template, body string
		want                         int
	}{
		{"POST", "/v1/push", "/v1/push", `{"to":"user:a","data":"x"}`, 200},
		{"POST", "/v1/push", "/v1/push", `{"data":"x"}`, 400},
		{"POST", "/v1/push", "/v1/push", `{"to":"user:a","data":"` + strings.Repeat("x", MaxBodyBytes) + `"}`, 413},
		{"POST", "/v1/broadcast", "/v1/broadcast", `{"data":"x"}`, 200},
		{"POST", "/v1/broadcast", "/v1/broadcast", `{"data":"x"}`, 429},
		{"POST", "/v1/broadcast", "/v1/broadcast", `{"data":"x","to":"all"}`, 400},
		{"GET", "/v1/users/dev%2F1", "/v1/users/{user}", "", 200},
		{"GET", "/v1/users/dev/1", "/v1/users/{user}", "", 200},
		{"GET", "/v1/users/nobody", "/v1/users/{user}", "", 404},
		{"GET", "/v1/users/" + strings.Repeat("x", 129), "/v1/users/{user}", "", 400},
		{"DELETE", "/v1/users/dev/1", "/v1/users/{user}", "", 200},
		{"DELETE", "/v1/users/nobody", "/v1/users/{user}", "", 404},
		{"GET", "/v1/sessions/" + id, "/v1/sessions/{session}", "", 200},
		{"GET", "/v1/sessions/" + id[1:] + "2", "/v1/sessions/{session}", "", 404},
		{"DELETE", "/v1/sessions/" + id, "/v1/sessions/{session}", "", 200},
		{"GET", "/v1/groups/g", "/v1/groups/{group}", "", 200},
		{"PUT", "/v1/groups/g/members/dev/1", "/v1/groups/{group}/members/{user}", "", 200},
		{"PUT", "/v1/groups/g/members/crowded", "/v1/groups/{group}/members/{user}", "", 409},
		{"DELETE", "/v1/groups/g/members/dev/1", "/v1/groups/{group}/members/{user}", "", 200},
		{"GET", "/v1/nodes", "/v1/nodes", "", 200},
		{"GET", "/v1/stats", "/v1/stats", "", 200},
		{"POST", "/v1/reload", "/v1/reload", "", 200},
		{"POST", "/v1/refresh", "/v1/refresh", `{"token":"good"}`, 200},
		{"POST", "/v1/refresh", "/v1/refresh", `{"token":"old"}`, 422},
		{"POST", "/v1/refresh", "/v1/refresh", `{"token":"nobody"}`, 404},
		{"POST", "/v1/refresh", "/v1/refresh", `{"token":"unasked"}`, 503},
		{"POST", "/v1/refresh", "/v1/refresh", `{"token":"open"}`, 409},
		{"POST", "/v1/refresh", "/v1/refresh", `{}`, 400},
		{"POST", "/v1/refresh", "/v1/refresh", `{"token":"good","user":"root"}`, 400},
		{"POST", "/v1/refresh", "/v1/refresh", `{"token":"` + strings.Repeat("x", MaxBodyBytes) + `"}`, 413},
		{"GET", "/v1/openapi.json", "/v1/openapi.json", "", 200},
		{"GET", "/v1/info", "/v1/info", "", 200},
		{"GET", "/v1/snapshot", "/v1/snapshot", "", 200},
		{"GET", "/v1/log", "/v1/log", "", 200},
		{"PUT", "/v1/log", "/v1/log", `{"level":"debug"}`, 200},
		{"PUT", "/v1/log", "/v1/log", `{"level":"loud"}`, 400},
		{"GET", "/v1/debug", "/v1/debug", "", 200},
		{"PUT", "/v1/debug/dev/1", "/v1/debug/{principal}", "", 200},
		{"PUT", "/v1/debug/dev/1?for=soon", "/v1/debug/{principal}", "", 400},
		{"PUT", "/v1/debug/crowded", "/v1/debug/{principal}", "", 409},
		{"DELETE", "/v1/debug/dev/1", "/v1/debug/{principal}", "", 204},
		{"DELETE", "/v1/debug/nobody", "/v1/debug/{principal}", "", 404},
	} {
		answer, body := f.do(c.method, c.path, c.body)
		if answer.StatusCode != c.want {
			t.Errorf("%s %.60s: %d, want %d: %.200s", c.method, c.path, answer.StatusCode, c.want, body)
		}
		o := document.Paths[c.template][strings.ToLower(c.method)]
		if _, ok := o.Responses[fmt.Sprint(answer.StatusCode)]; !ok {
			t.Errorf("%s %s: status %d is not described", c.method, c.template, answer.StatusCode)
		}
		want := "application/json"
		if answer.StatusCode >= 400 {
			want = "application/problem+json"
		} else if answer.StatusCode == http.StatusNoContent {
			want = ""
		}
		if got := answer.Header.Get("Content-Type"); got != want {
			t.Errorf("%s %.60s: %s, want %s", c.method, c.path, got, want)
		}
		tried[c.method+" "+c.template] = true
	}
	for _, operation := range described {
		elsewhere := operation == "GET /v1/live" || strings.HasPrefix(operation, "GET /v1/registry/")
		if !tried[operation] && !elsewhere {
			t.Errorf("%s is not tried", operation)
		}
	}
	wantOrders := []Order{{"close", "user:dev/1", ""}, {"close", "user:nobody", ""}, {"close", "session:" + id, ""},
		{"join", "user:dev/1", "g"}, {"join", "user:crowded", "g"}, {"leave", "user:dev/1", "g"}}
	if diff := cmp.Diff(wantOrders, n.orders); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	n.err = errors.New("the directory is away")
	for _, path := range []string{"/v1/users/dev/1", "/v1/sessions/" + id, "/v1/groups/g", "/v1/nodes"} {
		if answer, body := f.do("GET", path, ""); answer.StatusCode != 503 || !strings.Contains(body, "the directory is away") {
			t.Errorf("%s: %d %s, want 503 with the reason", path, answer.StatusCode, body)
		}
	}
}

func TestPushRequests(t *testing.T) {
	f, n := startV1(t, V1Config{BroadcastRate: 10})
	for body, want := range map[string]Push{
		`{"to":"user:a","data":"é"}`:           {To: "user:a", Data: []byte("é"), Opcode: "text", Priority: "high"},
		`{"to":"user:a","data_base64":"AP8="}`: {To: "user:a", Data: []byte{0, 255}, Opcode: "binary", Priority: "high"},
		`{"to":["group:g"],"data":"","opcode":"binary","priority":"low","ttl":"1m30s","id":"i"}`: {To: "group:g", Data: []byte{}, Opcode: "binary", Priority: "low", TTL: 90 * time.Second, ID: "i"},
	} {
		n.pushes = nil
		if answer, text := f.do("POST", "/v1/push", body); answer.StatusCode != 200 {
			t.Errorf("%s: %d %s", body, answer.StatusCode, text)
		}
		if diff := cmp.Diff([]Push{want}, n.pushes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	_, text := f.do("POST", "/v1/push", `{"to":["user:a","user:nobody"],"data":"x"}`)
	var got struct{ Targets []Pushed }
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Pushed{{To: "user:a", Result: "delivered", Delivered: 1}, {To: "user:nobody", Result: "offline"}}, got.Targets); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	n.pushes = nil
	for body, word := range map[string]string{
		`{"to":"user:a"}`: "one of data and data_base64",
		`{"to":"user:a","data":"x","data_base64":"eA=="}`:                    "one of data and data_base64",
		`{"to":"user:a","data_base64":"!"}`:                                  "data_base64",
		`{"to":"user:a","data_base64":"/w==","opcode":"text"}`:               "UTF-8",
		`{"to":"user:a","data":"x","opcode":"ping"}`:                         "opcode",
		`{"to":"user:a","data":"x","priority":"urgent"}`:                     "priority",
		`{"to":"user:a","data":"x","ttl":"5"}`:                               "ttl",
		`{"to":"user:a","data":"x","ttl":"-1s"}`:                             "ttl",
		`{"to":"user:a","data":"x","ttl":"720h1ms"}`:                         "ttl",
		`{"to":"all","data":"x"}`:                                            "/v1/broadcast",
		`{"to":[],"data":"x"}`:                                               "targets",
		`{"to":5,"data":"x"}`:                                                "target",
		`{"to":"user:a","data":"x","colour":"red"}`:                          "colour",
		`{"to":"user:a","data":"x"}{}`:                                       "more after",
		`{"to":"user:a","data":"x","id":"` + strings.Repeat("i", 129) + `"}`: "id",
		``:                                   "empty",
		`{"to":"user:a"`:                     "not complete",
		`[]`:                                 "the body: a JSON array",
		`{"to":"user:a","data":"x","ttl":5}`: "ttl: a JSON number",
	} {
		if answer, text := f.do("POST", "/v1/push", body); answer.StatusCode != 400 || !strings.Contains(text, word) {
			t.Errorf("%s: %d %s, want 400 with a word of %q", body, answer.StatusCode, text, word)
		}
	}
	if len(n.pushes) != 0 {
		t.Errorf("%d bad requests were pushed", len(n.pushes))
	}
	n.err = fmt.Errorf("%w: target %q", ErrBadRequest, "dance:x")
	if answer, _ := f.do("POST", "/v1/push", `{"to":"dance:x","data":"x"}`); answer.StatusCode != 400 {
		t.Errorf("an unknown kind of target: %d, want 400", answer.StatusCode)
	}
}

func TestToken(t *testing.T) {
	const token = "0123456789abcdef"
	f, _ := startV1(t, V1Config{Token: token, BroadcastRate: 1})
	for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "Basic " + token: 401, "Bearer " + token: 200, "bearer " + token: 200} {
		for _, path := range []string{"/v1/nodes", "/v1/info"} {
			request, err := http.NewRequest(http.MethodGet, "http://"+f.Addr()+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", header)
			answer, err := f.client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			challenge := answer.Header.Get("WWW-Authenticate")
			if answer.StatusCode != want || (want == 401) != (challenge != "") {
				t.Errorf("%s with %q: %d, want %d", path, header, answer.StatusCode, want)
			}
			if wrong := strings.Contains(challenge, `error="invalid_token"`); want == 401 && wrong != (header != "") {
				t.Errorf("%s with %q is told %s", path, header, challenge)
			}
		}
	}
	if answer, _ := f.do("GET", "/healthz", ""); answer.StatusCode != 200 {
		t.Errorf("a probe without token: %d, want 200", answer.StatusCode)
	}
}
