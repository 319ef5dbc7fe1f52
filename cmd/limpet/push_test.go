package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/embedded"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/session"
)

// runCommand runs the program with args, without a process.
func runCommand(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	root := newRootCommand()
	var out, errs bytes.Buffer
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	err = root.ExecuteContext(ctx)
	return out.String(), errs.String(), err
}

func startEmbedded(t testing.TB) string {
	t.Helper()
	var topics []embedded.Topic
	for _, s := range bridge.NewTopics(bridge.DefaultTopicPrefix).Specs(2, 4) {
		topics = append(topics, embedded.Topic{Name: s.Name, Partitions: s.Partitions})
	}
	b, err := embedded.Start(embedded.Config{Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Addr()
}

// startInfo is a gateway's API that only knows its broker.
func startInfo(t *testing.T, broker string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"node":"n1","kafka":[%q],"topic_prefix":"limpet."}`, broker)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// Pushes through the API of a gateway that asks for its token: what is printed
// is what became of them, and the exit code says whether all were reached.
func TestPushCommand(t *testing.T) {
	const token = "0123456789abcdef"
	t.Setenv(tokenVariable, token)
	p := startProcess(t, 0, "--drain-window=0s")
	conns := map[string]*websocket.Conn{"dev1": p.mustDial("dev1"), "dev2": p.mustDial("dev2")}
	for _, c := range []struct {
		name, stdin string
		args        []string
		want        string         // printed
		fails       string         // in the error, which then has exit code 1
		get         map[string]any // text as string, binary as bytes, by principal
	}{
		{"user", "", []string{"--to", "user:dev1", "hello"}, "user:dev1: delivered to 1 session\n", "", map[string]any{"dev1": "hello"}},
		{"standard input", "from stdin", []string{"--to", "user:dev1", "--ttl", "30s", "--priority", "low"}, "user:dev1: delivered to 1 session\n", "", map[string]any{"dev1": "from stdin"}},
		{"base64", "", []string{"--to", "user:dev1", "--base64", "AP8="}, "user:dev1: delivered to 1 session\n", "", map[string]any{"dev1": []byte{0, 255}}},
		{"base64 of text", "aGVs\nbG8=\n", []string{"--to", "user:dev1", "--base64", "--opcode", "text"}, "user:dev1: delivered to 1 session\n", "", map[string]any{"dev1": "hello"}},
		{"binary", "\x00\xff", []string{"--to", "user:dev2", "--opcode", "binary"}, "user:dev2: delivered to 1 session\n", "", map[string]any{"dev2": []byte{0, 255}}},
		{"all", "", []string{"--to", "all", "news"}, "all: delivered to 2 sessions\n", "", map[string]any{"dev1": "news", "dev2": "news"}},
		{"one of two", "", []string{"--to", "user:dev1", "--to", "user:nobody", "x"},
			"user:dev1: delivered to 1 session\nuser:nobody: offline, nobody is connected\n", "not reached: user:nobody", map[string]any{"dev1": "x"}},
		{"an id", "", []string{"--to", "user:dev1", "--id", "7", "once"}, "user:dev1: delivered to 1 session\n", "", map[string]any{"dev1": "once"}},
		{"the same id", "", []string{"--to", "user:dev1", "--id", "7", "once"}, "user:dev1: duplicate, a message with this id was delivered before\n", "", nil},
		{"an empty group", "", []string{"--to", "group:g", "x"}, "group:g: offline, nobody is connected\n", "not reached: group:g", nil},
		{"as JSON", "", []string{"--to", "user:dev2", "--json", "x"}, "{\n  \"targets\": [\n    {\n      \"to\": \"user:dev2\",", "", map[string]any{"dev2": "x"}},
		{"through Kafka", "", []string{"--kafka", strings.Join(p.Kafka, ","), "--to", "user:dev2", "by Kafka"}, "user:dev2: written to limpet.downlink, partition ", "", map[string]any{"dev2": "by Kafka"}},
	} {
		args := append([]string{"push"}, c.args...)
		if !slices.Contains(args, "--kafka") {
			args = append(args, "--api", p.API)
		}
		out, _, err := runCommand(t, c.stdin, args...)
		if !strings.HasPrefix(out, c.want) || (err == nil) != (c.fails == "") || err != nil && (exitCode(err) != exitFailed || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: %q, %v; want %q and %q", c.name, out, err, c.want, c.fails)
		}
		for principal, want := range c.get {
			kind, data, err := conns[principal].ReadMessage()
			got := any(string(data))
			if kind == websocket.BinaryMessage {
				got = data
			}
			if err != nil || cmp.Diff(want, got) != "" {
				t.Errorf("%s: %s got %q, %v; want %q", c.name, principal, got, err, want)
			}
		}
	}
	t.Setenv(tokenVariable, "")
	for _, args := range [][]string{{"push", "--to", "all", "x"}, {"tail"}, {"stats"}, {"where", "dev1"}} {
		_, _, err := runCommand(t, "", append(args, "--api", p.API)...)
		if err == nil || exitCode(err) != exitFailed || !strings.Contains(err.Error(), "--api-token or LIMPET_API_TOKEN") {
			t.Errorf("%v without the token: %v, want to be told of it", args, err)
		}
	}
	if out, _, err := runCommand(t, "", "where", "dev1", "--api", p.API, "--api-token", token); err != nil || !strings.Contains(out, "test") {
		t.Errorf("where with the token: %q, %v", out, err)
	}
}

// What a gateway answers for targets of other nodes, in words.
func TestPushedText(t *testing.T) {
	for want, p := range map[string]api.Pushed{
		"delivered to 1 session, forwarded to 2 nodes":    {Result: "delivered", Delivered: 1, Forwarded: 2},
		"forwarded to 1 node, 1 session has gone":         {Result: "forwarded", Forwarded: 1, Offline: 1},
		"delivered to 3 sessions, no room for 2 sessions": {Result: "delivered", Delivered: 3, Full: 2},
		"sent to all nodes":                               {Result: "spread"},
		"expired":                                         {Result: "expired"},
	} {
		if got := pushedText(p); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}

func TestPushCommandFaults(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"push", "--to", "dev1", "--opcode", "ping", "--priority", "urgent", "--ttl", "-1s", "x"}, exitBadUsage, []string{"--to", "--opcode", "--priority", "--ttl"}},
		{[]string{"push", "--to", "all", "two", "words"}, exitBadUsage, []string{"quote"}},
		{[]string{"push", "--to", "all", "--api", "127.0.0.1:1", "--kafka", "127.0.0.1:1", "x"}, exitBadUsage, []string{"--api and --kafka"}},
		{[]string{"push", "--to", "all", "--api", "127.0.0.1:1", "x"}, exitFailed, []string{"127.0.0.1:1: no gateway answers there", "limpet serve", "--kafka"}},
		{[]string{"push", "x"}, exitBadUsage, []string{"--to: missing"}},
		{[]string{"push", "--to", "all", "--to", "user:a", "x"}, exitBadUsage, []string{"alone"}},
		{[]string{"push", "--to", "all", "--base64", "!"}, exitBadUsage, []string{"--base64"}},
		{[]string{"push", "--to", "all", "--opcode", "text", "--base64", "/w=="}, exitBadUsage, []string{"UTF-8", "--opcode binary"}},
		{[]string{"push", "--to", "all", "--kafka", "127.0.0.1:1", "x"}, exitFailed, []string{"no Kafka broker answers at [127.0.0.1:1]"}},
		{[]string{"tail", "--api", "127.0.0.1:1", "--kafka", "127.0.0.1:1"}, exitBadUsage, []string{"--api and --kafka"}},
		{[]string{"tail", "--api", "127.0.0.1:1"}, exitFailed, []string{"no gateway answers there"}},
		{[]string{"tail", "--limit", "-1"}, exitBadUsage, []string{"--limit"}},
		{[]string{"tail", "extra"}, exitBadUsage, []string{"extra"}},
		{[]string{"nodes", "--redis", "localhost:6379"}, exitBadUsage, []string{"--redis", "redis://HOST:PORT"}},
	} {
		_, _, err := runCommand(t, "", c.args...)
		if err == nil || exitCode(err) != c.code {
			t.Errorf("%v: %v, want exit code %d", c.args, err, c.code)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%v: no word of %q in %q", c.args, word, err)
			}
		}
	}
}

func TestTailCommand(t *testing.T) {
	broker := startEmbedded(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	u, err := bridge.NewUplink(ctx, bridge.UplinkConfig{Kafka: bridge.Kafka{Brokers: []string{broker}}, Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	u.Accept(bridge.Message{Principal: []byte("dev1"), Opcode: session.Text, Payload: []byte("hello")})
	if err := u.Close(ctx); err != nil {
		t.Fatal(err)
	}
	out, errs, err := runCommand(t, "", "tail", "--kafka", broker, "--from-beginning", "-n", "1")
	if err != nil || !strings.HasSuffix(out, " dev1 text hello\n") || errs != "tailing limpet.uplink on "+broker+"\n" {
		t.Errorf("%q, %q, %v", out, errs, err)
	}
	out, _, err = runCommand(t, "", "tail", "--api", startInfo(t, broker), "--json", "--from-beginning", "-n", "1")
	if err != nil || !strings.Contains(out, `"principal":"dev1"`) || !strings.Contains(out, `"data":"hello"`) {
		t.Errorf("%q, %v", out, err)
	}
}
