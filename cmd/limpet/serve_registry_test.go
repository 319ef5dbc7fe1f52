package main

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// limpet runs a command and returns its output and exit code.
func limpetCommand(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command("limpet", args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// awaitCommand runs a command until its exit code and output are right.
func awaitCommand(t *testing.T, code int, part string, args ...string) string {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		out, got := limpetCommand(t, args...)
		if got == code && strings.Contains(out, part) {
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("limpet %s: exit code %d, want %d and %q in:\n%s", strings.Join(args, " "), got, code, part, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Two nodes share a Redis: who is where is known on both, a newer session
// displaces the older one on the other node, and the tools tell.
func TestNodesShareADirectory(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	start := func(name string) *process {
		return startProcess(t, 0, "--node="+name, "--redis="+redis.URL(), "--uplink=echo", "--drain-window=0s", "--redis-lease=5s")
	}
	a, b := start("a"), start("b")
	older := a.mustDial("ann")
	url := "--redis=" + redis.URL()
	awaitCommand(t, 0, "a     ", "where", url, "ann")

	newer := b.mustDial("ann")
	_ = older.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := older.ReadMessage(); !websocket.IsCloseError(err, 4001) {
		t.Fatalf("the older session ended with %v, want 4001", err)
	}
	if err := echo(newer, "still here"); err != nil {
		t.Fatal(err)
	}
	awaitCommand(t, 0, "b     ", "where", url, "ann")
	awaitCommand(t, 0, "b     ", "where", "--api="+a.API, "ann") // any node knows
	awaitCommand(t, 1, "bob is not connected", "where", url, "bob")
	awaitCommand(t, 2, "--redis is missing", "nodes")
	nodes := awaitCommand(t, 0, b.API, "nodes", url)
	if strings.Count(nodes, "\n") != 3 || !strings.Contains(nodes, a.API) {
		t.Errorf("limpet nodes prints:\n%s", nodes)
	}
	awaitCommand(t, 0, "agrees with 2 nodes", "registry", "check", url)

	// An entry that nobody made is a disagreement.
	key := strings.Fields(redis.Must("KEYS", "lp:{b:*"))[0]
	value := redis.Must("HGET", key, "ann")
	redis.Must("HSET", key, "mallory", value)
	awaitCommand(t, 1, `stale: principal "mallory" on node "b"`, "registry", "check", url)
	redis.Must("HDEL", key, "mallory")

	// Without Redis both go on, and say so.
	redis.Freeze()
	deadline := time.Now().Add(patience)
	for status := ""; status != "degraded"; _, status = a.readyz() {
		if time.Now().After(deadline) {
			t.Fatalf("readyz says %s without Redis", status)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if _, metrics := a.scrape(); metrics[`limpet_directory_state{state="degraded"}`] != 1 || metrics["limpet_directory_outages_total"] != 1 {
		t.Errorf("metrics say %v, %v outages", metrics[`limpet_directory_state{state="degraded"}`], metrics["limpet_directory_outages_total"])
	}
	if code, _ := a.readyz(); code != 200 {
		t.Errorf("readyz answers %d without Redis, want 200: it still serves", code)
	}
	if err := echo(a.mustDial("carl"), "without Redis"); err != nil {
		t.Fatal(err)
	}
	redis.Thaw()
	awaitCommand(t, 0, "a     ", "where", url, "carl")
	awaitCommand(t, 0, "agrees with 2 nodes", "registry", "check", url)

	// A node that leaves takes its entries along; a killed one is cleared up after.
	a.signal(syscall.SIGTERM)
	if code := a.waitExit(); code != 0 {
		t.Errorf("the drained node ended with %d", code)
	}
	awaitCommand(t, 1, "carl is not connected", "where", url, "carl")
	c := start("c")
	_ = b.cmd.Process.Kill()
	awaitCommand(t, 1, "ann is not connected", "where", url, "ann")
	awaitCommand(t, 0, "agrees with 1 nodes", "registry", "check", url)
	if out := awaitCommand(t, 0, c.API, "nodes", url); strings.Contains(out, "dead") {
		t.Errorf("a dead node is left:\n%s", out)
	}
}
