package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/internal/logtest"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
)

// lines are the records of a log so far.
func lines(l *logtest.Log) []string { return strings.Split(strings.TrimSpace(l.String()), "\n") }

func debugInto(l *logtest.Log) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func startWatched(t *testing.T, log *slog.Logger) (*Watch, string) {
	t.Helper()
	table := registry.NewTable(registry.Config{Incarnation: 7})
	g := New(table, slog.New(slog.DiscardHandler))
	g.SetUplink(Echo)
	w := NewWatch(g, table, log)
	url := startEngine(t, g, w, nil)
	return w, url
}

// One device is shown from its connection to its end, and nobody else.
func TestWatchShowsOne(t *testing.T) {
	var log logtest.Log
	w, url := startWatched(t, debugInto(&log))
	if _, err := w.Add("dev1", time.Minute, 3); err != nil {
		t.Fatal(err)
	}
	a, b := dial(t, url+"?id=dev1"), dial(t, url+"?id=dev2")
	for _, c := range []*websocket.Conn{a, b} {
		if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "hello")
	}
	_ = a.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience))
	_, _, _ = a.ReadMessage()
	deadline := time.Now().Add(patience)
	for len(lines(&log)) < 3 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	lines := lines(&log)
	if len(lines) != 3 {
		t.Fatalf("logged %q", lines)
	}
	for i, want := range []string{"session opened", "message received", "session ended"} {
		if !strings.Contains(lines[i], want) || !strings.Contains(lines[i], "principal=dev1") || !strings.Contains(lines[i], "session=0000000000000007") {
			t.Errorf("line %d is %q, want %q of dev1", i, lines[i], want)
		}
	}
	if !strings.Contains(lines[1], "bytes=5") || !strings.Contains(lines[1], "payload=hel") || strings.Contains(lines[1], "hello") {
		t.Errorf("of the payload 3 bytes are asked for: %q", lines[1])
	}
	if !strings.Contains(lines[2], "reason=peer_closed") {
		t.Errorf("the end: %q", lines[2])
	}
}

// A watched device that sends much does not flood the log, and what was left
// out is counted.
func TestWatchIsBounded(t *testing.T) {
	var log logtest.Log
	w, url := startWatched(t, debugInto(&log))
	if _, err := w.Add("dev1", time.Minute, 0); err != nil {
		t.Fatal(err)
	}
	c := dial(t, url+"?id=dev1")
	const n = 10 * watchBurst
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range n {
			_ = c.WriteMessage(websocket.TextMessage, []byte("x"))
		}
	}()
	begun := time.Now()
	for range n {
		expect(t, c, "x")
	}
	<-written
	allowed := watchBurst + int(time.Since(begun).Seconds()+1)*watchRate
	if got := len(lines(&log)); got < watchBurst || got > allowed {
		t.Errorf("%d lines for %d messages, want %d to %d", got, n, watchBurst, allowed)
	}
	deadline := time.Now().Add(patience)
	for !strings.Contains(lines(&log)[len(lines(&log))-1], "suppressed=") {
		if time.Now().After(deadline) {
			t.Fatal("what was left out is never told")
		}
		time.Sleep(20 * time.Millisecond)
		if err := c.WriteMessage(websocket.TextMessage, []byte("y")); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "y")
	}
}

func TestWatchLimits(t *testing.T) {
	w := NewWatch(nil, nil, slog.New(slog.DiscardHandler))
	for i := range MaxWatched {
		if _, err := w.Add(fmt.Sprint("dev", i), time.Minute, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Add("one more", time.Minute, 0); !errors.Is(err, ErrTooManyWatched) {
		t.Errorf("beyond the limit: %v", err)
	}
	if got, err := w.Add("dev3", 1000*time.Hour, 1<<20); err != nil || time.Until(got.Until) > MaxWatchTime || got.Payload != MaxWatchPayload {
		t.Errorf("again, for long: %+v, %v", got, err)
	}
	if all := w.List(); len(all) != MaxWatched || all[0].Principal != "dev0" || all[1].Principal != "dev1" {
		t.Errorf("list %+v", all)
	}
	for i := range MaxWatched {
		if !w.Remove(fmt.Sprint("dev", i)) {
			t.Errorf("dev%d was not watched", i)
		}
	}
	if w.Remove("dev1") || len(w.List()) != 0 || w.now.Load() != nil {
		t.Error("somebody is still watched")
	}
}

func TestWatchExpires(t *testing.T) {
	w := NewWatch(nil, nil, slog.New(slog.DiscardHandler))
	if _, err := w.Add("dev1", 10*time.Millisecond, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add("dev1", time.Minute, 0); err != nil { // goes on
		t.Fatal(err)
	}
	if _, err := w.Add("dev2", 20*time.Millisecond, 0); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for len(w.List()) > 1 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if all := w.List(); len(all) != 1 || all[0].Principal != "dev1" {
		t.Errorf("after their time: %+v", all)
	}
	w.Remove("dev1")
}

// Who is not watched pays an atomic load, or a look at the table while
// somebody else is: no allocation in both cases.
func TestWatchAllocatesNothingForOthers(t *testing.T) {
	table := registry.NewTable(registry.Config{Incarnation: 7})
	added, err := table.Add([]byte("dev2"), session.ID{Incarnation: 7, Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	w := NewWatch(nil, table, slog.New(slog.DiscardHandler))
	look := func() {
		if w.of(uint32(added.Ref)) != nil {
			t.Fatal("dev2 is watched")
		}
	}
	if n := testing.AllocsPerRun(100, look); n != 0 {
		t.Errorf("%v allocations while nobody is watched", n)
	}
	if _, err := w.Add("dev1", time.Minute, 0); err != nil {
		t.Fatal(err)
	}
	defer w.Remove("dev1")
	if n := testing.AllocsPerRun(100, look); n != 0 {
		t.Errorf("%v allocations while somebody else is watched", n)
	}
}

// Question: what does a message of somebody else cost while nobody, and while
// somebody is watched?
func BenchmarkWatchOthers(b *testing.B) {
	table := registry.NewTable(registry.Config{Incarnation: 7})
	added, err := table.Add([]byte("dev2"), session.ID{Incarnation: 7, Generation: 1})
	if err != nil {
		b.Fatal(err)
	}
	w := NewWatch(nil, table, slog.New(slog.DiscardHandler))
	for _, name := range []string{"nobody", "somebody"} {
		if name == "somebody" {
			if _, err := w.Add("dev1", time.Minute, 0); err != nil {
				b.Fatal(err)
			}
			defer w.Remove("dev1")
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.of(uint32(added.Ref))
			}
		})
	}
}

var _ reactor.Handler = (*Watch)(nil)
