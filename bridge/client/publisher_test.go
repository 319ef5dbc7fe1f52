package client

import (
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
)

func TestPublisher(t *testing.T) {
	brokers := startBroker(t)
	p, err := NewPublisher(testContext(t), brokers, topics)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	push := bridge.Push{To: bridge.Target{Kind: bridge.ToAll}, Opcode: session.Binary, Payload: []byte("x")}
	for range 10 {
		if err := p.Send(testContext(t), &push); err != nil {
			t.Fatal(err)
		}
	}
	// A further push is written behind the ten: its offset says that they
	// arrived, in the one partition that their target has.
	deadline := time.Now().Add(10 * time.Second)
	for {
		at, err := Push(testContext(t), brokers, topics, &push)
		if err != nil {
			t.Fatal(err)
		}
		if at.Offset >= 10 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("offset %d, want 10 or more", at.Offset)
		}
	}
}

func TestPublisherNeedsItsTopic(t *testing.T) {
	if _, err := NewPublisher(testContext(t), startBroker(t), bridge.NewTopics("other.")); err == nil {
		t.Fatal("a publisher without a topic")
	}
}
