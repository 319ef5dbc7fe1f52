package overload

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The bounds are what keeps the ladder from flapping: those of a signal grow,
// and a rung is left only below where the one before it was entered.
func TestBoundsNeverMeet(t *testing.T) {
	for _, s := range Signals() {
		for i, b := range bounds[s] {
			switch {
			case b.down > b.up:
				t.Errorf("%v: %v is left at %v, above where it is entered, %v", s, Level(i+1), b.down, b.up)
			case i == 0 || b.up == never:
			case b.up <= bounds[s][i-1].up || b.down > bounds[s][i-1].up:
				t.Errorf("%v: %v has %v after %v of the rung before", s, Level(i+1), b, bounds[s][i-1])
			}
		}
	}
}

// memory is a reading with so many percent of the budget in use.
func memory(percent int64) Reading { return Reading{Used: percent, Budget: 100} }

func TestLadder(t *testing.T) {
	type look struct {
		after time.Duration // since the look before
		r     Reading
		want  Level
	}
	busy := func(lag time.Duration) Reading { return Reading{CPU: 0.99, Lag: lag} }
	for name, looks := range map[string][]look{
		"memory goes up at once, by as much as it asks for": {
			{0, memory(69), Normal}, {1, memory(70), Shrink}, {1, memory(96), Shed},
		},
		"and down one rung for each dwell": {
			{0, memory(95), Shed},
			{time.Second, memory(10), Shed}, {4 * time.Second, memory(10), Shed}, {time.Second, memory(10), RefuseNew},
			{4 * time.Second, memory(10), RefuseNew}, {time.Second, memory(10), DropLow},
			{5 * time.Second, memory(10), Shrink}, {5 * time.Second, memory(10), Normal}, {time.Hour, memory(10), Normal},
		},
		"a reading between the bounds holds a rung": {
			{0, memory(80), DropLow}, {time.Hour, memory(79), DropLow}, {time.Hour, memory(70), DropLow}, {time.Hour, memory(70), DropLow},
		},
		"a reading above the lower bound starts the dwell again": {
			{0, memory(80), DropLow}, {time.Second, memory(10), DropLow}, {4 * time.Second, memory(70), DropLow},
			{time.Second, memory(10), DropLow}, {4 * time.Second, memory(10), DropLow}, {time.Second, memory(10), Shrink},
		},
		"no budget is no signal": {{0, Reading{Used: 1 << 40}, Normal}},
		"loops that are behind on busy processors": {
			{0, busy(400 * time.Millisecond), Normal}, {1, busy(time.Second), DropLow}, {1, busy(2 * time.Second), RefuseNew}, {1, busy(time.Hour), RefuseNew},
		},
		"loops that are behind for another's sake": {{0, Reading{CPU: 0.4, Lag: time.Minute}, Normal}},
		"Kafka": {
			{0, Reading{Backlog: 0.34}, Normal}, {1, Reading{Backlog: 0.45}, DropLow}, {1, Reading{Backlog: 0.8}, RefuseNew}, {1, Reading{Backlog: 1}, RefuseNew},
		},
		"Redis": {{0, Reading{DirectoryOut: true}, Shrink}, {time.Hour, Reading{DirectoryOut: true}, Shrink}, {1, Reading{}, Shrink}, {5 * time.Second, Reading{}, Normal}},
		"the highest signal counts": {
			{0, Reading{Used: 95, Budget: 100, Backlog: 0.8, DirectoryOut: true}, Shed},
			{1, Reading{Used: 10, Budget: 100, Backlog: 0.8}, Shed}, {5 * time.Second, Reading{Used: 10, Budget: 100, Backlog: 0.8}, RefuseNew},
			{time.Hour, Reading{Used: 10, Budget: 100, Backlog: 0.8}, RefuseNew},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, now := NewLadder(0), time.Unix(1_000_000, 0)
			for i, look := range looks {
				now = now.Add(look.after)
				if d := l.Step(now, look.r); d.Level != look.want {
					t.Fatalf("look %d, at %+v: %v (%v), want %v", i, look.r, d.Level, d.By, look.want)
				}
			}
		})
	}
}

func TestWorst(t *testing.T) {
	d := NewLadder(0).Step(time.Unix(1, 0), Reading{Used: 80, Budget: 100, Backlog: 0.8})
	if d.Worst() != Kafka || d.Of(Memory) != DropLow || d.Level != RefuseNew {
		t.Errorf("%+v, worst %v", d, d.Worst())
	}
}

func anyReading(t *rapid.T) Reading {
	return Reading{
		Used: rapid.Int64Range(0, 120).Draw(t, "used"), Budget: 100,
		CPU: rapid.Float64Range(0, 1).Draw(t, "cpu"), Lag: time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "lag")),
		Backlog: rapid.Float64Range(0, 1).Draw(t, "backlog"), DirectoryOut: rapid.Bool().Draw(t, "out"),
	}
}

// Whatever readings come: a level is never lower than what a reading asks for,
// never comes down by more than a rung, nor sooner than a dwell after it last
// moved, and moves only for a reading beyond the bound.
func TestLadderProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const dwell = 2 * time.Second
		l, now := NewLadder(dwell), time.Unix(1_000_000, 0)
		var before Decision
		var moved [numSignals]time.Time
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "pause")))
			r := anyReading(t)
			d := l.Step(now, r)
			highest := Normal
			for _, s := range Signals() {
				was, is, p := before.By[s], d.By[s], r.pressure(s)
				highest = max(highest, is)
				if is < Shed && p >= bounds[s][is].up {
					t.Fatalf("%v stays at %v, with a reading of %v", s, is, p)
				}
				switch {
				case is > was && p < bounds[s][is-1].up:
					t.Fatalf("%v goes up to %v for %v", s, is, p)
				case is < was && (was-is > 1 || p >= bounds[s][was-1].down):
					t.Fatalf("%v goes down from %v to %v for %v", s, was, is, p)
				case is < was && now.Sub(moved[s]) < dwell:
					t.Fatalf("%v moved %v ago and goes down to %v", s, now.Sub(moved[s]), is)
				}
				if is != was {
					moved[s] = now
				}
			}
			if d.Level != highest {
				t.Fatalf("level %v of %v", d.Level, d.By)
			}
			before = d
		}
		// When readings return to normal, so does the ladder: in a dwell for
		// each rung, and one look to begin the first.
		for range 2 * int(Shed) {
			now = now.Add(dwell)
			before = l.Step(now, Reading{Used: 59, Budget: 100, Backlog: 0.24, Lag: time.Hour, CPU: 0.8})
		}
		if before.Level != Normal {
			t.Fatalf("still at %v", before.By)
		}
	})
}

// Readings that swing between the bounds of a rung move nothing.
func TestNoFlapping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rung := rapid.IntRange(1, int(Shed)).Draw(t, "rung")
		b := bounds[Memory][rung-1]
		up := 2.0
		if Level(rung) < Shed {
			up = bounds[Memory][rung].up
		}
		l, now := NewLadder(0), time.Unix(1_000_000, 0)
		l.Step(now, Reading{Used: int64(b.up * 1000), Budget: 1000})
		for range rapid.IntRange(1, 50).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "pause")))
			used := rapid.Int64Range(int64(b.down*1000), int64(up*1000)-1).Draw(t, "used")
			if d := l.Step(now, Reading{Used: used, Budget: 1000}); d.Level != Level(rung) {
				t.Fatalf("%d of 1000 moves %v to %v", used, Level(rung), d.Level)
			}
		}
	})
}

func TestRoom(t *testing.T) {
	for used, want := range map[int64]int64{0: 900, 500: 400, 900: 0, 2000: 0} {
		if got := (Reading{Used: used, Budget: 1000}).RoomForNewcomers(); got != want {
			t.Errorf("with %d of 1000 in use there is room for %d, want %d", used, got, want)
		}
	}
	for used, want := range map[int64]bool{899: false, 900: true, 2000: true} {
		if got := (Reading{Used: used, Budget: 1000}).Sheds(); got != want {
			t.Errorf("with %d of 1000 in use sessions are shed: %v", used, got)
		}
	}
	if got := LeastBudget(60); got < 100 || got > 101 {
		t.Errorf("60 in use need a budget of %d", got)
	}
}
