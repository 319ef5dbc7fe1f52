package telemetry

import (
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestText(t *testing.T) {
	var out strings.Builder
	log, err := NewLog(&out, "text", "info")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("not shown")
	log.Info("listening", "addr", "127.0.0.1:8080", "window", 90*time.Second)
	want := regexp.MustCompile(`^time=\d\d:\d\d:\d\d\.\d{3} level=INFO msg=listening addr=127.0.0.1:8080 window=1m30s\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("logged %q, want %s", out.String(), want)
	}
}

func TestJSON(t *testing.T) {
	var out strings.Builder
	log, err := NewLog(&out, "json", "debug")
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now().Truncate(time.Millisecond)
	log.Debug("a \"quoted\"\nline", slog.Group("peer", "time", time.Unix(0, 0).UTC(), "rtt", 1500*time.Microsecond))
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("a record has %d lines, want 1: %q", n, out.String())
	}
	var record struct {
		Time  time.Time
		Level string
		Msg   string
		Peer  struct {
			Time time.Time
			RTT  string
		}
	}
	if err := json.Unmarshal([]byte(out.String()), &record); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if record.Time.Before(before) || record.Time.After(time.Now()) {
		t.Errorf("time %v is not now", record.Time)
	}
	if record.Level != "DEBUG" || record.Msg != "a \"quoted\"\nline" || record.Peer.RTT != "1.5ms" || !record.Peer.Time.Equal(time.Unix(0, 0)) {
		t.Errorf("record %+v", record)
	}
}

func TestUnknownWords(t *testing.T) {
	for _, c := range [][2]string{{"xml", "info"}, {"", "info"}, {"text", "loud"}, {"text", ""}} {
		if log, err := NewLog(&strings.Builder{}, c[0], c[1]); err == nil {
			t.Errorf("format %q, level %q: got %v, want an error", c[0], c[1], log)
		}
	}
}

// The level follows SetLevel at once, also for loggers made before; Everything
// does not care.
func TestSetLevel(t *testing.T) {
	var out strings.Builder
	log, err := NewLog(&out, "text", "warn")
	if err != nil {
		t.Fatal(err)
	}
	derived := log.With("part", "kafka").WithGroup("g")
	says := func(want string) {
		t.Helper()
		var words []string
		for _, m := range regexp.MustCompile(`msg=(\w+)`).FindAllStringSubmatch(out.String(), -1) {
			words = append(words, m[1])
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("at %s: logged %q, want %q", log.Level(), got, want)
		}
		out.Reset()
	}
	speak := func() {
		log.Debug("one")
		derived.Info("two", "k", 1)
		derived.Error("three")
		log.Everything().Debug("four")
	}
	speak()
	says("three four")
	if err := log.SetLevel("debug"); err != nil || log.Level() != "debug" {
		t.Fatal(err)
	}
	speak()
	says("one two three four")
	if err := log.SetLevel("loud"); err == nil || log.Level() != "debug" {
		t.Errorf("after a wrong word: %v, level %s", err, log.Level())
	}
	if err := log.SetLevel("info"); err != nil {
		t.Fatal(err)
	}
	speak()
	says("two three four")
}

// Whatever a value, a key or a message holds, a record is one line, and what is
// no printable character is written as an escape: nobody whose name or payload
// is logged can forge a record, or send commands to the terminal that shows it.
func TestNobodyForgesRecords(t *testing.T) {
	nasty := "dev1\nlevel=ERROR msg=\"forged\"\r\x1b[2J\x00\u2028\u202e\xff"
	for _, format := range []string{"text", "json"} {
		var out strings.Builder
		log, err := NewLog(&out, format, "debug")
		if err != nil {
			t.Fatal(err)
		}
		log.Info(nasty, "principal", nasty, slog.Group("g", "payload", []byte(nasty), "err", errors.New(nasty)), "any", []string{nasty})
		text, ok := strings.CutSuffix(out.String(), "\n")
		if !ok || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' }) {
			t.Errorf("%s: %q", format, out.String())
		}
		if format == "text" && strings.Contains(text, "\u202e") {
			t.Errorf("%s turns the direction of what follows: %q", format, text)
		}
	}
}
