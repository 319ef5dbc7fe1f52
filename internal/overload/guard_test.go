package overload

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// rig is a guard whose readings a test sets.
type rig struct {
	*Guard
	now      time.Time
	reading  Reading
	acted    []Decision
	steps    []Level
	releases int
	release  func() bool
	log      bytes.Buffer
}

func newRig() *rig {
	r := &rig{now: time.Unix(1_000_000, 0), release: func() bool { return false }}
	r.Guard = New(Config{
		Read:    func() Reading { return r.reading },
		Act:     func(d Decision, _ Reading) { r.acted = append(r.acted, d) },
		Release: func(Reading) bool { r.releases++; return r.release() },
		Changed: func(_, to Decision, _ Reading) { r.steps = append(r.steps, to.Level) },
		Log:     slog.New(slog.NewTextHandler(&r.log, nil)),
	})
	return r
}

func (r *rig) look(after time.Duration, used int64) State {
	r.now = r.now.Add(after)
	r.reading = memory(used)
	r.Look(r.now)
	return r.State()
}

// Each step is logged, counted and told of once; a reading that changes
// nothing only is acted on.
func TestGuardTellsOfEachStepOnce(t *testing.T) {
	r := newRig()
	for range 10 {
		r.look(time.Second, 91)
	}
	if s := r.State(); s.Level != RefuseNew || s.Up[RefuseNew] != 1 || s.Reading.Used != 91 {
		t.Fatalf("%+v", s)
	}
	for range 20 {
		r.look(time.Second, 10)
	}
	s := r.State()
	if s.Level != Normal || s.Down != [numLevels]uint64{Normal: 1, Shrink: 1, DropLow: 1} {
		t.Errorf("%+v", s)
	}
	if want := []Level{RefuseNew, DropLow, Shrink, Normal}; len(r.steps) != 4 || [4]Level(r.steps) != [4]Level(want) {
		t.Errorf("told of %v, want %v", r.steps, want)
	}
	if len(r.acted) != 30 || r.acted[0].Level != RefuseNew || r.acted[29].Level != Normal {
		t.Errorf("acted %d times", len(r.acted))
	}
	if lines := strings.Count(r.log.String(), "overload:"); lines != 4 {
		t.Errorf("%d lines in the log, want 4:\n%s", lines, r.log.String())
	}
	if !strings.Contains(r.log.String(), "level=WARN") || !strings.Contains(r.log.String(), "level=refuse_new from=normal memory=refuse_new") {
		t.Errorf("the log does not say why:\n%s", r.log.String())
	}
}

// Garbage is given back before the ladder moves, and not again at once.
func TestGuardReleasesHeapFirst(t *testing.T) {
	r := newRig()
	r.release = func() bool { r.reading = memory(50); return true }
	if s := r.look(0, 90); s.Level != Normal || s.Releases != 1 || s.Reading.Used != 50 {
		t.Fatalf("garbage alone moves the ladder: %+v", s)
	}
	if s := r.look(time.Second, 90); s.Level != RefuseNew || r.releases != 1 {
		t.Errorf("%d releases, %+v", r.releases, s)
	}
	if r.look(releaseEvery, 90); r.releases != 2 {
		t.Errorf("%d releases after a while, want 2", r.releases)
	}
	if r.look(releaseEvery, 10); r.releases != 2 {
		t.Error("gives heap back though nothing is short")
	}
}

// A release that is not worth it may be asked for again at once.
func TestGuardAsksAgain(t *testing.T) {
	r := newRig()
	r.look(0, 75)
	r.look(time.Second, 75)
	if r.releases != 2 || r.State().Releases != 0 {
		t.Errorf("%d asked for, %d counted", r.releases, r.State().Releases)
	}
}

func TestGuardRunEnds(t *testing.T) {
	looked := make(chan struct{}, 1)
	g := New(Config{Every: time.Millisecond, Read: func() Reading { return memory(80) }, Act: func(Decision, Reading) {
		select {
		case looked <- struct{}{}:
		default:
		}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	<-looked
	cancel()
	<-done
	if g.State().Level != DropLow {
		t.Errorf("%+v", g.State())
	}
}

func TestWords(t *testing.T) {
	for _, l := range Levels() {
		if strings.Contains(l.String(), "(") {
			t.Errorf("level %d has no word", l)
		}
	}
	for _, s := range Signals() {
		if strings.Contains(s.String(), "(") {
			t.Errorf("signal %d has no word", s)
		}
	}
	if len(Levels()) != int(numLevels) || len(Signals()) != int(numSignals) || Level(9).String() != "level(9)" || Signal(9).String() != "signal(9)" {
		t.Error("not all are listed")
	}
}
