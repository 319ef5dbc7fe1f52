package main

import (
	"strings"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// Two nodes share Redis and no Kafka: what one is told reaches the sessions of
// the other, again after a restart of Redis. While Redis hangs the sessions of
// the node that is told still get it, and nobody waits long.
func TestPushesThroughRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	start := func(name string) *process {
		return startProcess(t, 0, "--node="+name, "--redis="+redis.URL(), "--uplink=echo", "--redis-lease=5s", "--drain-window=0s", "--api-token="+testToken, "--broadcast-rate=1000")
	}
	a, b := start("a"), start("b")
	ann, bob := a.mustDial("ann"), b.mustDial("bob")
	a.awaitAnswer("GET", "/v1/users/bob", "", `"node":"b"`)
	a.awaitAnswer("POST", "/v1/push", `{"to":"user:bob","data":"hello"}`, `"result":"forwarded"`)
	b.read(bob, "hello")
	a.want("PUT", "/v1/groups/g/members/bob", "", 200, `"forwarded":1`)
	a.awaitAnswer("GET", "/v1/groups/g", "", `"members":1`)
	a.want("POST", "/v1/push", `{"to":"group:g","data":"hello g"}`, 200, `"forwarded":1`)
	b.read(bob, "hello g")
	b.want("POST", "/v1/broadcast", `{"data":"hello all"}`, 200, `"result":"spread"`)
	a.read(ann, "hello all")
	b.read(bob, "hello all")

	redis.Kill()
	redis.Restart()
	a.awaitAnswer("GET", "/v1/users/bob", "", `"node":"b"`)
	a.awaitAnswer("POST", "/v1/push", `{"to":"user:bob","data":"back"}`, `"result":"forwarded"`)
	b.read(bob, "back")

	redis.Freeze()
	begun := time.Now()
	a.awaitAnswer("POST", "/v1/broadcast", `{"data":"to who is here"}`, `"delivered":1`)
	a.read(ann, "to who is here")
	_, text := a.call("POST", "/v1/push", `{"to":"user:bob","data":"x"}`)
	if !strings.Contains(text, `"result":"failed"`) {
		t.Errorf("a push for another node, while Redis hangs: %s, want failed", text)
	}
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("it took %v", took)
	}
	redis.Thaw()
	a.awaitAnswer("POST", "/v1/push", `{"to":"user:bob","data":"at last"}`, `"result":"forwarded"`)
	for got := ""; got != "at last"; { // Redis may have kept some of the others, and send them now
		_, message, err := bob.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		got = string(message)
	}
	a.want("POST", "/v1/push", `{"to":"user:ann","data":"end"}`, 200)
	a.read(ann, "end") // and not what it had already
}
