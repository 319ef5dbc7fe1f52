package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/limpet-gateway/limpet/reactor"
)

// What a session sends beyond its rates: it is closed, or the message is dropped
// and counted where its priority allows that; never is one of high priority lost
// in silence.
func TestBeyondTheRate(t *testing.T) {
	rules, err := bridge.ParsePriorityRules([]string{"prefix:low=low", "prefix:medium=medium"})
	if err != nil {
		t.Fatal(err)
	}
	slow := bridge.RateLimits{Messages: 1, Burst: time.Second}
	for name, c := range map[string]struct {
		drop bool
		sent string
		ends bool
	}{
		"close":        {false, "low", true},
		"drop, low":    {true, "low", false},
		"drop, medium": {true, "medium", false},
		"drop, high":   {true, "high", true},
	} {
		t.Run(name, func(t *testing.T) {
			g, url := startWith(t, Echo, func(g *Gateway) {
				g.SetRules(Rules{Content: rules, DropOverRate: c.drop})
				g.SetLimits(slow)
			})
			conn := dial(t, url+"?id=dev1")
			const sent = 20
			for range sent {
				_ = conn.WriteMessage(websocket.TextMessage, []byte(c.sent)) // it may have been closed
			}
			if c.ends {
				var err error
				for err == nil {
					_, _, err = conn.ReadMessage()
				}
				if !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
					t.Errorf("the session ended with %v, want 1008", err)
				}
				if low, medium := g.OverRate(); low+medium != 0 {
					t.Errorf("%d and %d messages are counted as dropped", low, medium)
				}
				return
			}
			for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
				if low, medium := g.OverRate(); low+medium > 0 {
					break
				}
				if time.Now().After(end) {
					t.Fatal("nothing is dropped")
				}
			}
			g.SetLimits(bridge.RateLimits{}) // also for those that are there
			if err := conn.WriteMessage(websocket.TextMessage, []byte("the end")); err != nil {
				t.Fatal(err)
			}
			echoed := 0
			for {
				_, got, err := conn.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				if string(got) == "the end" {
					break
				}
				echoed++
			}
			low, medium := g.OverRate()
			if dropped := low + medium; (low > 0) != strings.HasSuffix(name, "low") || echoed == 0 || int(dropped)+echoed != sent {
				t.Errorf("of %d messages %d came back, %d low and %d medium were dropped", sent, echoed, low, medium)
			}
		})
	}
}

// New rules hold for the next session and the next message.
func TestSetRules(t *testing.T) {
	seen := make(chan session.Priority, 1)
	g, url := startWith(t, func(g *Gateway, s reactor.Session, _ session.Opcode, payload []byte, _ tracing.Span) {
		seen <- g.rules.Load().Content.Of(payload, s.Priority())
	}, nil)
	first := dial(t, url+"?id=dev1")
	byContent, err := bridge.ParsePriorityRules([]string{"prefix:m=medium"})
	if err != nil {
		t.Fatal(err)
	}
	g.SetRules(Rules{Priority: session.Low, Content: byContent})
	second := dial(t, url+"?id=dev2")
	for i, c := range []struct {
		from *websocket.Conn
		text string
		want session.Priority
	}{{first, "x", session.High}, {first, "m", session.Medium}, {second, "x", session.Low}} {
		if err := c.from.WriteMessage(websocket.TextMessage, []byte(c.text)); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-seen:
			if got != c.want {
				t.Errorf("message %d is %v, want %v", i, got, c.want)
			}
		case <-time.After(patience):
			t.Fatalf("message %d does not arrive", i)
		}
	}
}
