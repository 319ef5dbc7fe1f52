package main

import (
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/embedded"
)

// A node whose Kafka is away says so, goes on serving, and says when Kafka is
// back.
func TestReadyzTellsThatKafkaIsAway(t *testing.T) {
	t.Parallel()
	config := embedded.Config{DataDir: t.TempDir()}
	for _, s := range bridge.NewTopics(bridge.DefaultTopicPrefix).Specs(2, 4) {
		config.Topics = append(config.Topics, embedded.Topic{Name: s.Name, Partitions: s.Partitions})
	}
	broker, err := embedded.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	config.Addr = broker.Addr()
	p := startProcess(t, 0, "--kafka="+broker.Addr(), "--drain-window=0s")
	wait := func(status string) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
			code, got := p.readyz()
			if got == status {
				if code != 200 {
					t.Fatalf("readyz answers %d: a node without Kafka still serves", code)
				}
				return
			}
			if time.Now().After(end) {
				t.Fatalf("readyz says %s, want %s", got, status)
			}
		}
	}
	wait("ready")
	broker.Close()
	wait("degraded")
	if err := p.mustDial("dev1").WriteMessage(websocket.TextMessage, []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if broker, err = embedded.Start(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	wait("ready")
}
