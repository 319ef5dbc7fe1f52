package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// signIn opens a session with a token that makes these claims.
func (p *process) signIn(claims jwt.MapClaims) *websocket.Conn {
	p.t.Helper()
	claims["exp"] = time.Now().Add(time.Hour).Unix()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(jwtSecret))
	if err != nil {
		p.t.Fatal(err)
	}
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+p.Listen+"/ws", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		p.t.Fatalf("sign in as %v: %v (%v)", claims["sub"], err, resp)
	}
	p.t.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(2 * patience))
	return c
}

// awaitAnswer asks the API until the answer is right.
func (p *process) awaitAnswer(method, path, body, contains string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		status, text := p.call(method, path, body)
		if status == 200 && strings.Contains(text, contains) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s %s: %d %s, want %s", method, path, status, text, contains)
		}
	}
}

// recordsIn returns how many records a topic's partitions have been given.
func recordsIn(t *testing.T, client *kgo.Client, topic string) map[int32]int64 {
	t.Helper()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			counts[o.Partition] = o.Offset
		}
	})
	return counts
}

// Two nodes share Kafka and Redis. What a session's token claims holds on both:
// a push for its user or group that one node reads reaches it through the inbox
// of the other, and nobody else's; its messages have the priority of its claim;
// and when its node is killed, it has all of it again where it comes back.
func TestPushesThroughInboxes(t *testing.T) {
	t.Setenv("LIMPET_JWT_SECRET", jwtSecret)
	redis, broker := redistest.Start(t), startEmbedded(t)
	start := func(name string) *process {
		return startProcess(t, 0, "--node="+name, "--redis="+redis.URL(), "--kafka="+broker, "--auth=jwt", "--redis-lease=5s", "--redis-timeout=1s", "--group-timeout=1s", "--drain-window=0s", "--api-token="+testToken)
	}
	a, b := start("a"), start("b")
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	claims := jwt.MapClaims{"sub": "bob", "groups": []string{"fleet"}, "priority": "low"}
	bob := b.signIn(claims)
	a.awaitAnswer("GET", "/v1/groups/fleet", "", `"members":1,"nodes":[{"node":"b"`)
	a.want("POST", "/v1/push", `{"to":["group:fleet","user:bob"],"data":"by HTTP"}`, 200, `"to":"group:fleet","result":"forwarded"`, `"to":"user:bob","result":"forwarded"`)
	b.read(bob, "by HTTP")
	b.read(bob, "by HTTP")
	a.want("PUT", "/v1/groups/visitors/members/bob", "", 200)
	a.awaitAnswer("GET", "/v1/groups/visitors", "", `"members":1,"nodes":[{"node":"b"`)

	awaitMembers(t, client, "limpet.downlink", 2) // with a partition each, so that a routes half of these
	const pushes = 40
	for i := range pushes {
		p := bridge.Push{To: bridge.Target{Kind: bridge.ToUser, Name: "bob"}, Opcode: session.Text, Payload: fmt.Appendf(nil, "%d/%02d", i%2, i)}
		record := p.Record("limpet.downlink", time.Now())
		record.Partition = int32(i % 2)
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var last [2]string
	for range pushes {
		_, got, err := bob.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		of := &last[got[0]-'0']
		if string(got) <= *of {
			t.Errorf("%s after %s, of the same partition", got, *of)
		}
		*of = string(got)
	}
	inbox := recordsIn(t, client, "limpet.inbox")
	if len(inbox) != 1 {
		t.Errorf("records in the inbox, by partition: %v, want some in one", inbox)
	}
	for _, n := range inbox {
		if n != pushes/2+3 {
			t.Errorf("%d records in the inbox of b, want the half of the pushes that a read, 2 by HTTP and an order", n)
		}
	}
	if n := recordsIn(t, client, "limpet.broadcast"); len(n) != 0 {
		t.Errorf("pushes went to all nodes: %v", n)
	}

	// An order by record, whichever node reads it.
	order := bridge.Push{To: bridge.Target{Kind: bridge.ToUser, Name: "bob"}, Opcode: session.Text, Control: bridge.Join, Group: "crew"}
	if err := client.ProduceSync(t.Context(), order.Record("limpet.downlink", time.Now())).FirstErr(); err != nil {
		t.Fatal(err)
	}
	a.awaitAnswer("GET", "/v1/groups/crew", "", `"members":1,"nodes":[{"node":"b"`)

	redis.Freeze() // nobody can be asked, so everybody is told
	a.want("POST", "/v1/push", `{"to":"user:bob","data":"blind"}`, 200, `"result":"spread"`)
	b.read(bob, "blind")
	redis.Thaw()
	a.awaitAnswer("POST", "/v1/push", `{"to":"user:bob","data":"seen"}`, `"result":"forwarded"`)
	for got := ""; got != "seen"; { // until Redis is trusted again it is sent to all
		_, message, err := bob.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		got = string(message)
	}

	if err := bob.WriteMessage(websocket.TextMessage, []byte("21 degrees")); err != nil {
		t.Fatal(err)
	}
	if header := uplinkHeader(t, broker, "21 degrees", bridge.HeaderPriority); header != "low" {
		t.Errorf("the priority of a message is %q, claimed was low", header)
	}

	_ = b.cmd.Process.Kill()
	<-b.exited
	b = start("b")
	bob = b.signIn(claims)
	a.awaitAnswer("GET", "/v1/groups/visitors", "", `"members":0`) // that was the former session's
	a.awaitAnswer("GET", "/v1/groups/fleet", "", `"members":1`)
	a.want("POST", "/v1/push", `{"to":"group:fleet","data":"again"}`, 200, `"result":"forwarded"`)
	b.read(bob, "again")
	if _, metrics := a.scrape(); metrics[`limpet_bus_exceptions_total{kind="unleased"}`] != 0 {
		t.Errorf("%v pushes found no inbox", metrics[`limpet_bus_exceptions_total{kind="unleased"}`])
	}
	awaitCommand(t, 0, "INBOX", "nodes", "--redis="+redis.URL())
}

// uplinkHeader returns a header of the record in uplink that has this payload.
func uplinkHeader(t *testing.T, broker, payload, name string) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("limpet.uplink"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		for _, r := range client.PollFetches(ctx).Records() {
			for _, h := range r.Headers {
				if string(r.Value) == payload && h.Key == name {
					return string(h.Value)
				}
			}
		}
	}
	t.Fatalf("no record of %q with a header %s", payload, name)
	return ""
}
