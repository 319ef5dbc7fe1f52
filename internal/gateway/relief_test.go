package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/internal/meter"
	"github.com/limpet-gateway/limpet/internal/overload"
	"github.com/limpet-gateway/limpet/internal/session"
)

// The ladder and the engine, joined: each level of memory does what it is for,
// and normal takes all of it back.
func TestReliefActs(t *testing.T) {
	g, url := start(t, Echo)
	m, err := meter.NewMemoryMeter(false)
	if err != nil {
		t.Fatal(err)
	}
	r := &Relief{Engine: g.engine, Memory: m, Budget: 8 << 30, ShedRate: 1000, Unreadable: func(err error) { t.Error(err) }}
	act := func(used int64) {
		t.Helper()
		reading := r.Read()
		if reading.Budget != r.Budget || reading.Used < 1<<20 || reading.Backlog != 0 || reading.DirectoryOut {
			t.Fatalf("%+v", reading)
		}
		reading.Used = r.Budget / 100 * used
		r.Act(overload.NewLadder(0).Step(time.Now(), reading), reading)
	}
	refuses := func() bool {
		t.Helper()
		c, resp, err := websocket.DefaultDialer.Dial(url+"?id=newcomer", nil)
		if err == nil {
			c.Close()
			return false
		}
		if resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("%v %v", err, resp)
		}
		return true
	}
	idle := dial(t, url+"?id=idle")
	for used, refused := range map[int64]bool{50: false, 75: false, 85: false, 92: true} {
		act(used)
		if refuses() != refused {
			t.Errorf("at %d%% newcomers are refused: %v, want %v", used, !refused, refused)
		}
	}
	if err := idle.WriteMessage(websocket.TextMessage, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	expect(t, idle, "still here")
	act(50)
	g.SetRules(Rules{Priority: session.Low})
	low := dial(t, url+"?id=lowly") // of low priority, unlike the other
	// The level holds for a while when memory has fallen: nobody is shed then.
	r.Act(overload.Decision{Level: overload.Shed, By: [4]overload.Level{overload.Memory: overload.Shed}}, overload.Reading{Used: 1, Budget: r.Budget})
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) { // some ticks
		if err := low.WriteMessage(websocket.TextMessage, []byte("spared")); err != nil {
			t.Fatal(err)
		}
		expect(t, low, "spared")
	}
	act(96)
	if refuses() != true {
		t.Error("lets newcomers in while it sheds")
	}
	if _, _, err := low.ReadMessage(); !websocket.IsCloseError(err, 1013) || !strings.Contains(err.Error(), "retry=") {
		t.Errorf("a session of low priority ends with %v, want 1013 and when to come back", err)
	}
	act(50)
	if refuses() {
		t.Error("refuses newcomers when it is over")
	}
}

// What is unfinished is let in by what is left of the budget.
func TestReliefCountsUnfinishedInput(t *testing.T) {
	g, url := start(t, Echo)
	m, err := meter.NewMemoryMeter(false)
	if err != nil {
		t.Fatal(err)
	}
	r := &Relief{Engine: g.engine, Memory: m, Budget: 64 << 20, Unreadable: func(err error) { t.Error(err) }}
	reading := r.Read()
	reading.Used = r.Budget / 100 * 89 // 1 % is left until newcomers are refused
	r.Act(overload.NewLadder(0).Step(time.Now(), reading), reading)
	frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewBinaryFrame(make([]byte, 60<<10))))
	for range 40 { // 2.5 MiB; a half of 1 % of the budget, or a 64th of it, is less
		c := dial(t, url)
		if _, err := c.UnderlyingConn().Write(frame[:len(frame)-1]); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if s := g.engine.Stats(); s.Evicted > 0 && s.UnfinishedBytes <= 1<<20 {
			return
		} else if time.Now().After(end) {
			t.Fatalf("%d evicted, %d bytes unfinished", s.Evicted, s.UnfinishedBytes)
		}
	}
}

// A node that has no garbage to speak of does not collect for nothing.
func TestReliefReleasesWhatIsWorthIt(t *testing.T) {
	r := &Relief{Budget: 1 << 50}
	if r.Release(overload.Reading{}) {
		t.Error("collects for less than a 32nd of the budget")
	}
	r.Budget = 32
	if !r.Release(overload.Reading{}) {
		t.Error("does not collect")
	}
}
