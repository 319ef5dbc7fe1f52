package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/embedded"
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

func TestPushCommand(t *testing.T) {
	broker := startEmbedded(t)
	api := startInfo(t, broker)
	for _, c := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"", []string{"push", "--api", api, "--to", "user:dev1", "hello"}, "pushed 5 bytes to user:dev1 (limpet.downlink"},
		{"from stdin", []string{"push", "--kafka", broker, "--to", "all", "--ttl", "30s", "--id", "1"}, "pushed 10 bytes to all (limpet.downlink"},
	} {
		out, _, err := runCommand(t, c.stdin, c.args...)
		if err != nil || !strings.HasPrefix(out, c.want) {
			t.Errorf("%v: %q, %v; want %q...", c.args, out, err, c.want)
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
		{[]string{"tail", "--api", "127.0.0.1:1"}, exitFailed, []string{"no gateway answers there"}},
		{[]string{"tail", "--limit", "-1"}, exitBadUsage, []string{"--limit"}},
		{[]string{"tail", "extra"}, exitBadUsage, []string{"extra"}},
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
