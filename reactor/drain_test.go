package reactor

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

func TestDrain(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Loops: 2}, h)
	const n = 100
	var mu sync.Mutex
	var ends []time.Time
	var wg sync.WaitGroup
	for i := range n {
		c := dial(t, e, fmt.Sprintf("d%d", i))
		wg.Go(func() {
			text := expectClose(t, c, 1012)
			ms, err := strconv.Atoi(strings.TrimPrefix(text, "retry="))
			if err != nil || ms < 500 || ms > 2500 {
				t.Errorf("reason %q, want retry=MS", text)
			}
			mu.Lock()
			ends = append(ends, time.Now())
			mu.Unlock()
			c.Close()
		})
	}
	pending := dialRaw(t, e) // still in its handshake
	eventually(t, "it to be accepted", func() bool { return e.Stats().Conns == n+1 })
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- e.Drain(context.Background(), 2*time.Second) }()
	eventually(t, "draining to begin", func() bool { return e.draining.Load() })
	late := dialRaw(t, e)
	late.send([]byte(request("late")))
	late.expectStatus(503)
	pending.send([]byte(request("pending")))
	pending.expectStatus(101)
	if reason := pending.expectClose(1012); !strings.HasPrefix(reason, "retry=") {
		t.Errorf("reason %q, want retry=MS", reason)
	}
	pending.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	var firstHalf int
	for _, at := range ends {
		if at.Sub(start) < time.Second {
			firstHalf++
		}
	}
	if firstHalf < n/4 || firstHalf > n*3/4 {
		t.Errorf("%d of %d closes came in the first half of the window", firstHalf, n)
	}
}

func TestCloseIsSeenAsNodeStopped(t *testing.T) {
	h := &recorder{}
	e, err := New(Config{Addr: "127.0.0.1:0", Incarnation: 1}, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	c := dialRaw(t, e)
	c.upgrade("x")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
	c.expectEnd()
	if got := h.waitEnd(t, "x"); got != session.NodeStopped {
		t.Errorf("ended with %v", got)
	}
	if err := e.Send(h.id(t, "x"), Push{Opcode: session.Text}); err == nil {
		t.Error("a send to a closed engine succeeds")
	}
}
