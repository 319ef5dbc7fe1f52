package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

var eventTime = time.Date(2026, 11, 22, 14, 30, 0, 5e6, time.UTC)

func TestEventJSON(t *testing.T) {
	id := session.ID{Incarnation: 1, Slot: 2, Generation: 3}
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Kind: Connected, Principal: "dev1", Session: id, Node: "n1", Epoch: 7, At: eventTime},
			`{"type":"connected","principal":"dev1","session":"00000000000000010000000200000003","node":"n1","epoch":7,"at":"2026-11-22T14:30:00.005Z"}`},
		{Event{Kind: Connected, Principal: "dev1", Session: id, Node: "n1", Epoch: 7, At: eventTime, Remote: "2001:db8::1"},
			`{"type":"connected","principal":"dev1","session":"00000000000000010000000200000003","node":"n1","epoch":7,"at":"2026-11-22T14:30:00.005Z","remote":"2001:db8::1"}`},
		{Event{Kind: Disconnected, Principal: "d\"\\\x01é", Session: id, Node: "n1", Epoch: 8, At: eventTime, Reason: "peer_closed"},
			`{"type":"disconnected","principal":"d\"\\\u0001é","session":"00000000000000010000000200000003","node":"n1","epoch":8,"at":"2026-11-22T14:30:00.005Z","reason":"peer_closed"}`},
		{Event{Kind: Undeliverable, Principal: "d", Node: "n1", At: eventTime, Reason: "offline", PushID: "i", To: "user:d"},
			`{"type":"undelivered","principal":"d","node":"n1","at":"2026-11-22T14:30:00.005Z","reason":"offline","id":"i","to":"user:d"}`},
	} {
		got, err := json.Marshal(&c.e)
		if err != nil || string(got) != c.want {
			t.Errorf("got  %s\nwant %s (%v)", got, c.want, err)
		}
		var back Event
		if err := json.Unmarshal(got, &back); err != nil || cmp.Diff(c.e, back) != "" {
			t.Errorf("read back: %v\n%s", err, cmp.Diff(c.e, back))
		}
	}
}

// Every event agrees with the schema that consumers are given, has no member
// that it does not know, and lacks none that it requires.
func TestEventsFollowTheirSchema(t *testing.T) {
	text, err := os.ReadFile("events.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	document["unevaluatedProperties"] = false
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("events.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema := compiler.MustCompile("events.schema.json")
	id := session.ID{Incarnation: 1, Slot: 1, Generation: 1}
	required := map[EventKind][]string{ // besides type, principal, node and at
		Connected: {"session", "epoch"}, Disconnected: {"session", "epoch", "reason"}, Displaced: {"session", "epoch"},
		Lost: {"session", "epoch"}, Undeliverable: {"id", "to", "reason"},
	}
	if kinds := document["properties"].(map[string]any)["type"].(map[string]any)["enum"].([]any); len(kinds) != len(required) {
		t.Errorf("the schema has the types %v, the code %d", kinds, len(required))
	}
	for _, e := range []Event{
		{Kind: Connected, Session: id, Epoch: 1, Remote: "2001:db8::1"}, {Kind: Disconnected, Session: id, Epoch: 1, Reason: "r"},
		{Kind: Displaced, Session: id, Epoch: 1}, {Kind: Lost, Session: id, Epoch: 1},
		{Kind: Undeliverable, Reason: "r", PushID: "i", To: "all"},
	} {
		e.Principal, e.Node, e.At = "p", "n", eventTime
		var got map[string]any
		if err := json.Unmarshal(e.appendJSON(nil), &got); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(got); err != nil {
			t.Errorf("%s: %v", e.Kind, err)
		}
		for _, name := range append(required[e.Kind], "type", "principal", "node", "at") {
			without := maps.Clone(got)
			delete(without, name)
			if schema.Validate(without) == nil {
				t.Errorf("%s: the schema does not require %s", e.Kind, name)
			}
		}
	}
}

func TestEventReachesKafka(t *testing.T) {
	b := startBroker(t)
	u := startUplink(t, b, UplinkConfig{Node: "n1"})
	e := Event{Kind: Connected, Principal: "dev1", Session: session.ID{Incarnation: 1, Slot: 1, Generation: 1}, Epoch: 5, At: eventTime}
	if v := u.Event(e); v != Accepted {
		t.Fatalf("Event: %v", v)
	}
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	r := consume(t, b.addr, b.topics.Events, 1)[0]
	var got Event
	if err := json.Unmarshal(r.Value, &got); err != nil {
		t.Fatal(err)
	}
	e.Node = "n1"
	if diff := cmp.Diff(e, got); diff != "" || string(r.Key) != "dev1" {
		t.Errorf("key %s (-want +got):\n%s", r.Key, diff)
	}
}

// With no room left beginnings are refused, but every end reaches Kafka.
func TestEndsAreNeverRefused(t *testing.T) {
	b := startEmbedded(t)
	u := startUplink(t, b, UplinkConfig{BufferedBytes: 1 << 20, MaxMessageBytes: 1024, Workers: 2})
	resume := stall(t, b.cluster)
	event := func(kind EventKind, i int) Event {
		return Event{Kind: kind, Principal: fmt.Sprint("p", i), Session: session.ID{Incarnation: 1, Slot: uint32(i), Generation: 1}, Epoch: uint64(i + 1), At: time.Now(), Reason: "peer_gone"}
	}
	began := 0
	for u.Event(event(Connected, began)) == Accepted {
		if began++; began > 10_000 {
			t.Fatal("everything is accepted")
		}
	}
	eventually(t, "the workers sleep", func() bool {
		return !slices.ContainsFunc(u.workers, func(w *worker) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return !w.idle
		})
	})
	for i := range began {
		if v := u.Event(event(Disconnected, i)); v != Accepted {
			t.Fatalf("end %d: %v", i, v)
		}
	}
	if s := u.Stats(); s.OwedEvents == 0 || s.RefusedEvents != 1 || s.BufferedBytes > 1<<20 {
		t.Errorf("stats %+v, want events owed, one refused, memory in bounds", s)
	}
	resume()
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err) // nothing else comes that would wake a worker
	}
	online := map[string]*Presence{}
	for _, r := range consume(t, b.addr, b.topics.Events, 2*began) {
		var e Event
		if err := json.Unmarshal(r.Value, &e); err != nil {
			t.Fatal(err)
		}
		if online[e.Principal] == nil {
			online[e.Principal] = &Presence{}
		}
		online[e.Principal].Apply(e)
	}
	if len(online) != began {
		t.Errorf("%d principals, want %d", len(online), began)
	}
	for name, p := range online {
		if p.Sessions() != 0 {
			t.Errorf("%s is still online", name)
		}
	}
}

// However events are mixed and repeated, a consumer that orders by epoch ends
// with the true state.
func TestPresenceEndsWithTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []Event
		live := map[uint64]bool{}
		ends := []EventKind{Disconnected, Displaced, Lost}
		for epoch := uint64(1); epoch <= uint64(rapid.IntRange(1, 12).Draw(t, "sessions")); epoch++ {
			events = append(events, Event{Kind: Connected, Epoch: epoch})
			live[epoch] = true
			if rapid.Bool().Draw(t, "ends") {
				events = append(events, Event{Kind: rapid.SampledFrom(ends).Draw(t, "how"), Epoch: epoch})
				delete(live, epoch)
			}
		}
		for range rapid.IntRange(0, 5).Draw(t, "copies") {
			events = append(events, rapid.SampledFrom(events).Draw(t, "copy"))
		}
		var p Presence
		for _, e := range rapid.Permutation(events).Draw(t, "order") {
			p.Apply(e)
		}
		latest, online := p.Online()
		if p.Sessions() != len(live) || online != (len(live) > 0) || online && !live[latest.Epoch] {
			t.Fatalf("%d sessions, want %d; latest %d", p.Sessions(), len(live), latest.Epoch)
		}
		for epoch := range live {
			if epoch > latest.Epoch {
				t.Fatalf("latest is %d, but %d is live", latest.Epoch, epoch)
			}
		}
		if p.Forget(latest.Epoch + 1); p.Sessions() != len(live) {
			t.Fatalf("%d sessions after Forget, want %d", p.Sessions(), len(live))
		}
		for epoch := range p.ended {
			if epoch <= latest.Epoch {
				t.Fatalf("Forget(%d) keeps the end of %d", latest.Epoch+1, epoch)
			}
		}
	})
}

func TestEventAfterClose(t *testing.T) {
	u := startUplink(t, startEmbedded(t), UplinkConfig{})
	if err := u.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if v := u.Event(Event{Kind: Disconnected, Principal: "p"}); v != Refused {
		t.Errorf("after Close: %v, want refused", v)
	}
}
