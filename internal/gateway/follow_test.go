package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/internal/tracing"
)

const sampledParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// What is kept for sessions whose client samples is bounded, and ends.
func TestSessionTracesAreBounded(t *testing.T) {
	var kept sessionTraces
	place := tracing.Continue(sampledParent, "")
	id := func(slot uint32) session.ID { return session.ID{Incarnation: 7, Slot: slot, Generation: 1} }
	for i := range uint32(tracedMessages) {
		if i == 0 {
			kept.keep(id(1), place)
		}
		if !kept.take(id(1)).On() {
			t.Fatalf("message %d is not followed", i)
		}
		if kept.take(id(2)).On() {
			t.Fatal("another session's is")
		}
	}
	if kept.take(id(1)).On() {
		t.Errorf("more than %d messages are followed", tracedMessages)
	}
	for i := range uint32(10 * traceShards * shardTraces) {
		kept.keep(id(i), place)
	}
	total := 0
	for i := range kept {
		total += len(kept[i].of)
	}
	if total != traceShards*shardTraces {
		t.Errorf("%d sessions are kept, want %d", total, traceShards*shardTraces)
	}
	if newest := id(10*traceShards*shardTraces - 1); !kept.take(newest).On() {
		t.Error("those that keep quiet leave no room for a newcomer")
	}
	for i := range uint32(10 * traceShards * shardTraces) {
		kept.forget(id(i))
	}
	for i := range kept {
		if n := kept[i].kept.Load(); n != 0 || len(kept[i].of) != 0 {
			t.Fatalf("shard %d keeps %d", i, n)
		}
	}
}

// Nothing is kept for a session that has ended, or whose client does not
// sample.
func TestSessionTracesEnd(t *testing.T) {
	g, url := startWith(t, Echo, func(g *Gateway) {
		g.SetTracer(tracing.New(tracing.Config{Provider: noop.NewTracerProvider()}))
	})
	dial(t, url+"?id=plain")
	c, _, err := websocket.DefaultDialer.Dial(url+"?id=traced", http.Header{"Traceparent": {sampledParent}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	count := func() (n int32) {
		for i := range g.traced {
			n += g.traced[i].kept.Load()
		}
		return n
	}
	_ = c.WriteMessage(websocket.TextMessage, []byte("hello"))
	expect(t, c, "hello")
	if n := count(); n != 1 {
		t.Errorf("%d are kept, want 1", n)
	}
	c.Close()
	for end := time.Now().Add(patience); count() != 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are kept after the end", count())
		}
	}
}

// A fleet whose clients all set the sampled flag, on handshakes and so for their
// messages, is followed as far as clients are; what the node samples itself goes
// on, and sees that fleet as any other.
func TestFleetThatSamplesAll(t *testing.T) {
	const limit, clients = 8, 60
	tr := tracing.New(tracing.Config{Provider: noop.NewTracerProvider(), Ratio: 1, PerSecond: limit})
	_, url := startWith(t, Echo, func(g *Gateway) { g.SetTracer(tr) })
	begun := time.Now()
	for range clients {
		c, _, err := websocket.DefaultDialer.Dial(url+"?id=chatty", http.Header{"Traceparent": {sampledParent}})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.WriteMessage(websocket.TextMessage, []byte("hello"))
		expect(t, c, "hello")
		c.Close()
	}
	s, seconds := tr.Stats(), time.Since(begun).Seconds()
	if most := limit / 4 * (1 + seconds); float64(s.Followed[tracing.Client]) > most || s.Followed[tracing.Client] == 0 {
		t.Errorf("clients are followed %d times in %.1f s, want at most %.1f", s.Followed[tracing.Client], seconds, most)
	}
	if least := uint64(limit / 2); s.Followed[tracing.Node] < least {
		t.Errorf("the node's own sampling has %d, want at least %d", s.Followed[tracing.Node], least)
	}
}
