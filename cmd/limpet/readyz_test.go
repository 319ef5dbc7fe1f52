package main

import (
	"errors"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/embedded"
)

// A node whose Kafka is away says so, goes on serving, and says when Kafka is
// back.
func TestReadyzTellsThatKafkaIsAway(t *testing.T) {
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

// A broker that answers and takes nothing, as with a full disk, is told too.
func TestKafkaHealth(t *testing.T) {
	away := errors.New("connection refused")
	var h kafkaHealth
	for i, c := range []struct {
		pinged error
		stats  bridge.UplinkStats
		want   string
	}{
		{nil, bridge.UplinkStats{}, ""},
		{nil, bridge.UplinkStats{Acked: 5, Outstanding: 9}, ""},
		{away, bridge.UplinkStats{Acked: 5, Outstanding: 9}, "does not answer"},
		{nil, bridge.UplinkStats{Acked: 5, Outstanding: 9}, ""}, // no failure, and no time yet to be acknowledged
		{nil, bridge.UplinkStats{Acked: 5, Outstanding: 9, Retried: 3}, "fails what is written to it"},
		{nil, bridge.UplinkStats{Acked: 5, Outstanding: 9, Retried: 3}, "fails what is written to it"}, // between two attempts
		{away, bridge.UplinkStats{Acked: 5, Outstanding: 9, Retried: 3}, "does not answer"},
		{nil, bridge.UplinkStats{Acked: 5, Outstanding: 9, Retried: 4}, "fails what is written to it"},
		{nil, bridge.UplinkStats{Acked: 6, Outstanding: 8, Retried: 5}, ""}, // one is taken
		{nil, bridge.UplinkStats{Acked: 6, Outstanding: 8, Retried: 6}, "fails what is written to it"},
		{nil, bridge.UplinkStats{Acked: 6, Outstanding: 0, Retried: 6}, ""},
	} {
		if got := h.look(c.pinged, c.stats); got != c.want {
			t.Errorf("look %d: %q, want %q", i, got, c.want)
		}
	}
}
