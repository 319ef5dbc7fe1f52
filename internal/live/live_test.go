package live

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/limpet-gateway/limpet/internal/telemetry"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func snapshot() telemetry.Snapshot {
	return telemetry.Snapshot{
		Time: noon, Node: "n1", Version: "1.2.3", Status: "degraded", Reasons: []string{"redis: away"}, UptimeSeconds: 3700,
		Sessions: 12345, Principals: 12000, Connections: telemetry.Connections{Handshaking: 5, Open: 12345, Limit: 200000},
		Opened: 20000, Refused: map[string]uint64{"limit": 3, "request": 4},
		Closed:   map[string]uint64{"peer_gone": 7000, "displaced": 600, "kicked": 50, "draining": 5},
		Messages: telemetry.InOut{In: 1000, Out: 2000}, Bytes: telemetry.InOut{In: 5 << 20, Out: 300},
		Mailbox:         telemetry.Mailbox{Messages: 2, Bytes: 2048, Full: 1},
		Uplink:          &telemetry.Uplink{Accepted: 1000, Acknowledged: 900, BufferedRecords: 100, BufferedBytes: 64000, LatencySum: 9},
		Downlink:        &telemetry.Downlink{Records: 50, Lag: 7},
		Pushes:          telemetry.Pushes{Delivered: 48, Forwarded: 1, Offline: 2},
		Memory:          telemetry.Memory{Resident: 30 << 20, Loops: 1 << 20, OtherHeap: 20 << 20},
		BytesPerSession: 2548, Goroutines: 42, Host: telemetry.Host{InUse: 12400, TimeWait: 8},
	}
}

func TestText(t *testing.T) {
	want := `limpet 1.2.3, node n1, degraded, up 1h1m40s (redis: away)
  sessions    12,345 of 12,000 principals; 12,350 connections of 200,000
  opened      20,000, refused 7
  closed      7,655: peer_gone 7,000, displaced 600, kicked 50
  messages    in 1,000, out 2,000, dropped 0
  bytes       in 5.0 MiB, out 300 B
  mailboxes   2 pushes, 2.0 KiB; full 1 times
  uplink      1,000 accepted, 0 refused; 100 buffered, 62.5 KiB; 0 failures
  pushes      48 delivered, 1 to other nodes, 2 offline, 0 failed; 50 records, lag 7
  memory      30.0 MiB resident, 2.5 KiB a session: other heap 20.0 MiB, loops 1.0 MiB
  goroutines  42
  host        12,400 TCP sockets, 8 in TIME-WAIT; 0 listen overflows, 0 retransmits
`
	if diff := cmp.Diff(want, Text(snapshot())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRates(t *testing.T) {
	a, b := snapshot(), snapshot()
	b.Time, b.UptimeSeconds = a.Time.Add(2*time.Second), a.UptimeSeconds+2
	b.Opened += 10
	b.Closed = map[string]uint64{"peer_gone": 7655 + 4}
	b.Messages.In += 1000
	b.Uplink = &telemetry.Uplink{Acknowledged: 1000, LatencySum: 10}
	want := Rates{Opened: 5, Closed: 2, MessagesIn: 500, Produce: 10 * time.Millisecond}
	if diff := cmp.Diff(want, Between(a, b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again := b
	again.Time, again.UptimeSeconds, again.Opened = b.Time.Add(time.Second), 1, 3
	if got := Between(b, again); got != (Rates{}) {
		t.Errorf("over a restart: %+v", got)
	}
	if got := Between(a, a); got != (Rates{}) {
		t.Errorf("in no time: %+v", got)
	}
}

func TestSparkline(t *testing.T) {
	for _, c := range []struct {
		values []float64
		width  int
		want   string
	}{
		{nil, 5, ""},
		{[]float64{1}, 0, ""},
		{[]float64{0, 0}, 5, "▁▁"},
		{[]float64{9, 0, 7}, 2, "▁█"},
		{[]float64{0, 1, 2, 3, 4, 5, 6, 7}, 8, "▁▂▃▄▅▆▇█"},
	} {
		if got := sparkline(c.values, c.width); got != c.want {
			t.Errorf("%v in %d: %q, want %q", c.values, c.width, got, c.want)
		}
	}
}

// A conversation with the view: what it shows, after each message.
func TestView(t *testing.T) {
	asked := 0
	var m tea.Model = model{ctx: context.Background(), interval: time.Millisecond, patience: time.Minute, ask: func(context.Context) (telemetry.Snapshot, error) {
		asked++
		return snapshot(), nil
	}}
	step := func(msg tea.Msg) tea.Cmd {
		var next tea.Cmd
		m, next = m.Update(msg)
		return next
	}
	shows := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(m.View().Content, w) {
				t.Errorf("%q is not in\n%s", w, m.View().Content)
			}
		}
	}
	step(tea.WindowSizeMsg{Width: 60, Height: 50})
	shows("limpet top", "q quits")
	first := m.Init()().(answer)
	if asked != 1 {
		t.Fatalf("asked %d times at the start", asked)
	}
	if step(first) == nil {
		t.Fatal("it does not ask again")
	}
	shows("12,345 of 12,000 principals", "48 delivered", "█")
	second := first
	second.snapshot.Time = noon.Add(time.Second)
	second.snapshot.Messages.In += 250
	step(second)
	shows("in 1,250 (250/s)")
	for _, line := range strings.Split(m.View().Content, "\n") {
		if n := lipgloss.Width(line); n > 60 {
			t.Errorf("a line of %d columns in a window of 60: %q", n, line)
		}
	}

	step(answer{err: errors.New("no gateway answers there")})
	shows("no gateway answers there", "12,345") // the last that is known
	step(second)
	if strings.Contains(m.View().Content, "no gateway") {
		t.Error("the error stays")
	}

	step(tea.KeyPressMsg{Code: 'p', Text: "p"})
	third := second
	third.snapshot.Sessions = 99
	step(third)
	shows("paused", "12,345")
	for _, key := range []tea.KeyPressMsg{{Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}} {
		if cmd := step(key); cmd == nil || cmd() != tea.Quit() {
			t.Errorf("%s does not quit", key)
		}
	}
	if _, ok := step(askNow{})().(answer); !ok || asked != 2 {
		t.Errorf("asked %d times, want a second time", asked)
	}
}

// Whatever the size of the window, nothing leaves it, nothing is lost without a
// word, and the first lines and the keys stay.
// A gateway that takes long to answer is not shown as if it had just done so.
func TestViewSaysThatNoAnswerComes(t *testing.T) {
	release := make(chan struct{})
	var m tea.Model = model{ctx: context.Background(), patience: time.Millisecond, ask: func(context.Context) (telemetry.Snapshot, error) {
		<-release
		return snapshot(), nil
	}}
	m, next := m.Update(m.Init()())
	if !strings.Contains(m.View().Content, "no answer yet") {
		t.Errorf("it says nothing:\n%s", m.View().Content)
	}
	close(release)
	m, _ = m.Update(next())
	if text := m.View().Content; strings.Contains(text, "no answer yet") || !strings.Contains(text, "12,000 principals") {
		t.Errorf("after the answer:\n%s", text)
	}
}

func TestViewFitsTheWindow(t *testing.T) {
	full := snapshot()
	full.Directory = &telemetry.Directory{State: "joined", Calls: 1_234_567, QueueLimit: 262_144, LeaseAgeSeconds: 2.5, LeaseSeconds: 10}
	full.Overload = &telemetry.Overload{Level: "refuse_new", Rung: 3, SinceSeconds: 75, Shed: 4000}
	for _, size := range []tea.WindowSizeMsg{{Width: 80, Height: 24}, {Width: 80, Height: 60}, {Width: 80, Height: 8}, {Width: 40, Height: 3}, {Width: 200, Height: 50}} {
		var m tea.Model = model{interval: time.Millisecond}
		m, _ = m.Update(size)
		m, _ = m.Update(answer{snapshot: full})
		rows := strings.Split(m.View().Content, "\n")
		if len(rows) > size.Height {
			t.Errorf("%d rows in %d", len(rows), size.Height)
		}
		for _, row := range rows {
			if n := lipgloss.Width(row); n > size.Width {
				t.Errorf("%d columns in %d: %q", n, size.Width, row)
			}
		}
		text := m.View().Content
		if !strings.Contains(text, "q quits") || strings.Contains(text, "lines more") != (len(rows) == size.Height) {
			t.Errorf("%dx%d:\n%s", size.Width, size.Height, text)
		}
		whole := strings.Join(strings.Fields(text), " ")
		if size.Width == 200 && (!strings.Contains(whole, "refuse new") || !strings.Contains(whole, "lease 2.5 s old of 10") || !strings.Contains(whole, "retransmits")) {
			t.Errorf("%dx%d leaves something out:\n%s", size.Width, size.Height, text)
		}
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string][]string{
		"":           {""},
		"ab cd ef":   {"ab cd", "ef"},
		"abcdefgh":   {"abcdefgh"},
		"abcdefgh i": {"abcdefgh", "i"},
		"ab cde":     {"ab", "cde"},
	} {
		if diff := cmp.Diff(want, wrap(text, 5)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var all []float64
	for i := range 3 * history {
		all = keep(all, float64(i))
	}
	if len(all) != history || all[history-1] != 3*history-1 {
		t.Errorf("%d kept, the last is %v", len(all), all[len(all)-1])
	}
}
