package reactor

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Limits follow a Tune at once; who is there stays, and what is refused has
// changed nothing.
func TestTune(t *testing.T) {
	e := startEngine(t, Config{Loops: 2, FDTables: SharedTable, Tuning: Tuning{MaxConns: 2}}, &recorder{})
	refused := func(retryAfter string) {
		t.Helper()
		c := dialRaw(t, e)
		c.send([]byte(request("late")))
		if got := c.expectStatus(503).Header.Get("Retry-After"); got != retryAfter {
			t.Errorf("Retry-After %q, want %q", got, retryAfter)
		}
		c.expectEnd()
	}
	in := []*websocket.Conn{dial(t, e, "a"), dial(t, e, "b")}
	refused("5")

	if err := e.Tune(Tuning{MaxConns: 3, RetryAfter: 7 * time.Second}); err != nil {
		t.Fatal(err)
	}
	in = append(in, dial(t, e, "c"))
	refused("7")

	if err := e.Tune(Tuning{MaxConns: 1, RetryAfter: 9 * time.Second}); err != nil {
		t.Fatal(err)
	}
	refused("9")
	for i, c := range in {
		if err := c.WriteMessage(websocket.TextMessage, []byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		expectMessage(t, c, strconv.Itoa(i))
	}

	most := e.plan.capacity()
	for _, bad := range []Tuning{{MaxConns: most + 1}, {MaxConns: 3, Heartbeat: time.Nanosecond}, {MaxConns: 3, ControlRate: -1}} {
		if e.CheckTuning(bad) == nil || e.Tune(bad) == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if err := e.Tune(Tuning{MaxConns: most + 1}); !errors.Is(err, ErrNoCapacity) {
		t.Errorf("beyond the capacity: %v", err)
	}
	if got := e.Limits().MaxConns; got != 1 {
		t.Errorf("the limit is %d after refused ones, want 1", got)
	}
	if err := e.Tune(Tuning{}); err != nil || e.Limits().MaxConns != most {
		t.Errorf("%v, %d connections; want the capacity, %d", err, e.Limits().MaxConns, most)
	}
}

// A session that is there is held to the new rate of control frames, and
// pinged after the new heartbeat once the old one was due.
func TestTuneReachesSessions(t *testing.T) {
	e := startEngine(t, Config{Tuning: Tuning{Heartbeat: 2 * tick, HeartbeatGrace: time.Hour, ControlRate: 1000}}, &recorder{})
	quiet, noisy := dial(t, e, "quiet"), dial(t, e, "noisy")
	pinged := make(chan struct{}, 64)
	quiet.SetPingHandler(func(string) error {
		pinged <- struct{}{}
		return quiet.WriteControl(websocket.PongMessage, nil, time.Now().Add(patience))
	})
	go func() {
		for {
			if _, _, err := quiet.ReadMessage(); err != nil {
				return
			}
		}
	}()
	<-pinged
	if err := e.Tune(Tuning{Heartbeat: time.Hour, ControlRate: 2}); err != nil {
		t.Fatal(err)
	}
	for range 20 { // spread over no more than a few seconds of the loop
		_ = noisy.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience))
	}
	_ = noisy.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := noisy.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("the session ended with %v, want 1008", err)
	}
}

// Loops read what is tuned without a lock: the race detector watches.
func TestTuneUnderTraffic(t *testing.T) {
	e := startEngine(t, Config{Loops: 2}, &recorder{})
	var conns sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		c := dial(t, e, strconv.Itoa(i))
		conns.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				text := strconv.Itoa(n)
				if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
					t.Errorf("session %d: %v", i, err)
					return
				}
				if _, got, err := c.ReadMessage(); err != nil || string(got) != text {
					t.Errorf("session %d: %q, %v", i, got, err)
					return
				}
			}
		})
	}
	for n := range 500 {
		if err := e.Tune(Tuning{MaxConns: 10 + n%3, Heartbeat: time.Duration(1+n%5) * time.Second, ControlRate: 1 + n%7, OutboundLimit: 64<<10 + n}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	conns.Wait()
}
