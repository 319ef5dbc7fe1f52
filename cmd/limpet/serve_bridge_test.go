package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/limpet-gateway/limpet/bridge"
)

// call sends a request to the gateway's API and returns status and body.
func (p *process) call(method, path, body string) (int, string) {
	p.t.Helper()
	request, err := http.NewRequest(method, "http://"+p.API+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testToken)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, text) == nil {
		text = compact.Bytes()
	}
	return answer.StatusCode, string(text)
}

const testToken = "token-of-the-tests"

// want calls the API and fails the test unless it answers so.
func (p *process) want(method, path, body string, status int, contains ...string) string {
	p.t.Helper()
	got, text := p.call(method, path, body)
	if got != status {
		p.t.Fatalf("%s %s: %d %s, want %d", method, path, got, text, status)
	}
	for _, part := range contains {
		if !strings.Contains(text, part) {
			p.t.Fatalf("%s %s: no %s in %s", method, path, part, text)
		}
	}
	return text
}

func (p *process) read(c *websocket.Conn, want string) {
	p.t.Helper()
	if _, got, err := c.ReadMessage(); err != nil || string(got) != want {
		p.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// What a business service that speaks only HTTP does with users, groups and
// sessions.
func TestHTTPAPI(t *testing.T) {
	p := startProcess(t, 0, "--drain-window=0s", "--api-token="+testToken)
	dev1, dev2 := p.mustDial("dev1"), p.mustDial("dev2")

	p.want("POST", "/v1/push", `{"to":["user:dev1","user:nobody"],"data":"hello"}`, 200,
		`{"to":"user:dev1","result":"delivered","delivered":1,"forwarded":0}`, `{"to":"user:nobody","result":"offline"`)
	p.read(dev1, "hello")
	p.want("POST", "/v1/broadcast", `{"data":"to all"}`, 200, `"result":"delivered","delivered":2`)
	p.read(dev1, "to all")
	p.read(dev2, "to all")

	p.want("PUT", "/v1/groups/fleet/members/dev2", "", 200, `"delivered":1`)
	p.want("PUT", "/v1/groups/fleet/members/nobody", "", 404)
	p.want("GET", "/v1/groups/fleet", "", 200, `"members":1`)
	p.want("POST", "/v1/push", `{"to":"group:fleet","data":"to the fleet"}`, 200, `"delivered":1`)
	p.read(dev2, "to the fleet")
	p.want("DELETE", "/v1/groups/fleet/members/dev2", "", 200)
	p.want("POST", "/v1/push", `{"to":"group:fleet","data":"x"}`, 200, `"result":"offline"`)

	for range 2 {
		p.want("POST", "/v1/push", `{"to":"user:dev1","data":"once","id":"id-1"}`, 200)
	}
	p.want("POST", "/v1/push", `{"to":"user:dev1","data":"after"}`, 200)
	p.read(dev1, "once")
	p.read(dev1, "after")

	var user struct{ Sessions []struct{ ID, Node string } }
	if err := json.Unmarshal([]byte(p.want("GET", "/v1/users/dev1", "", 200)), &user); err != nil || len(user.Sessions) != 1 || user.Sessions[0].Node != "test" {
		t.Fatalf("the sessions of dev1: %+v, %v", user, err)
	}
	id := user.Sessions[0].ID
	p.want("GET", "/v1/sessions/"+id, "", 200, `"principal":"dev1"`)
	p.want("POST", "/v1/push", `{"to":"session:`+id+`","data":"to you"}`, 200, `"result":"delivered"`)
	p.read(dev1, "to you")
	p.want("GET", "/v1/nodes", "", 200, `"sessions":2`)
	p.want("GET", "/v1/stats", "", 200, `"delivered":`)

	p.want("DELETE", "/v1/users/dev1", "", 200, `"delivered":1`)
	if _, _, err := dev1.ReadMessage(); !websocket.IsCloseError(err, 4002) {
		t.Errorf("dev1 sees %v, want 4002", err)
	}
	_ = dev1.Close()
	p.want("POST", "/v1/push", `{"to":"user:dev2","data":"only this"}`, 200)
	p.read(dev2, "only this")
}

// events reads the topic events of p until there are enough.
func (p *process) events(enough func([]bridge.Event) bool) []bridge.Event {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Kafka...), kgo.ConsumeTopics("limpet.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		p.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var events []bridge.Event
	for !enough(events) {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			p.t.Fatalf("only these events came: %+v", events)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var e bridge.Event
			if err := json.Unmarshal(r.Value, &e); err != nil {
				p.t.Errorf("event %s: %v", r.Value, err)
			}
			events = append(events, e)
		})
	}
	return events
}

// A consumer of the events knows who is connected; pushes that reached nobody
// are reported when that is wanted.
func TestEventsOfAGateway(t *testing.T) {
	p := startProcess(t, 0, "--report-undelivered")
	first := p.mustDial("dev1")
	second := p.mustDial("dev1") // displaces the first
	if _, _, err := first.ReadMessage(); !websocket.IsCloseError(err, 4001) {
		t.Errorf("the first sees %v, want 4001", err)
	}
	_ = first.Close()
	p.want("POST", "/v1/push", `{"to":"user:gone","data":"x","id":"push-7"}`, 200)
	if err := second.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var dev1 bridge.Presence
	kinds := map[bridge.EventKind]bridge.Event{}
	for _, e := range p.events(func(events []bridge.Event) bool { return len(events) >= 5 }) {
		kinds[e.Kind] = e
		if e.Principal == "dev1" {
			dev1.Apply(e)
		}
	}
	if dev1.Sessions() != 0 {
		t.Errorf("dev1 has %d sessions, want none", dev1.Sessions())
	}
	if e := kinds[bridge.Disconnected]; e.Reason != "peer_closed" || e.Node != "test" || e.Epoch <= kinds[bridge.Displaced].Epoch {
		t.Errorf("disconnected: %+v, after displaced: %+v", e, kinds[bridge.Displaced])
	}
	if e := kinds[bridge.Undeliverable]; e.PushID != "push-7" || e.To != "user:gone" || e.Reason != "offline" {
		t.Errorf("undelivered: %+v", e)
	}
}

// One session that sends more than it may is closed, others are not.
func TestRateLimitOfASession(t *testing.T) {
	p := startProcess(t, 0, "--uplink=echo", "--rate-messages=10", "--rate-burst=1s")
	eager, calm := p.mustDial("eager"), p.mustDial("calm")
	for range 20 {
		if err := eager.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
			break // closed already
		}
	}
	echoes := 0
	for {
		_, _, err := eager.ReadMessage()
		if err == nil {
			echoes++
			continue
		}
		if !websocket.IsCloseError(err, 1008) {
			t.Errorf("the eager session sees %v, want 1008", err)
		}
		break
	}
	if echoes < 10 || echoes > 12 {
		t.Errorf("%d messages were taken, want 10", echoes)
	}
	if err := echo(calm, "still here"); err != nil {
		t.Error(err)
	}
}
