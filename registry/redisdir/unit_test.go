package redisdir

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
	"pgregory.net/rapid"
)

func TestRecordsSurviveTheWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var value []byte
		var want []record
		for range rapid.IntRange(0, 5).Draw(t, "records") {
			r := record{
				epoch:       registry.Epoch(rapid.Uint64Range(0, uint64(registry.MaxEpoch)).Draw(t, "epoch")),
				slot:        rapid.Uint32().Draw(t, "slot"),
				generation:  rapid.Uint32().Draw(t, "generation"),
				incarnation: rapid.Uint32().Draw(t, "incarnation"),
			}
			want, value = append(want, r), r.append(value)
		}
		var got []record
		if err := eachRecord(string(value), func(r record) { got = append(got, r) }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v became %v", want, got)
		}
	})
}

func FuzzValue(f *testing.F) {
	f.Add("")
	f.Add(string(record{1, 2, 3, 4}.append(nil)))
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	f.Fuzz(func(t *testing.T, value string) {
		// Whatever stands in Redis: no panic, and what is read without an error
		// is all there is.
		var back []byte
		if eachRecord(value, func(r record) { back = r.append(back) }) == nil && len(back) > len(value) {
			t.Errorf("%q was read as %q", value, back)
		}
		_ = eachPresence(value, func(presence) {})
	})
}

func TestBucketCount(t *testing.T) {
	for expect, want := range map[int]uint32{1: 16, 2048: 16, 2049: 32, 100_000: 1024, 1_000_000: 8192, 1_048_576: 8192, 1_048_577: 16384} {
		if got := bucketsFor(expect); got != want {
			t.Errorf("expecting %d: %d buckets, want %d", expect, got, want)
		}
		if per := float64(expect) / float64(bucketsFor(expect)); expect > 2048 && (per < 64 || per > 128) {
			t.Errorf("expecting %d: %.0f to a bucket", expect, per)
		}
	}
}

func TestBucketsFillEvenly(t *testing.T) {
	l := layout{buckets: 1024}
	for name, format := range map[string]string{"numbers": "%d", "devices": "device-%012d", "mail": "user%d@example.com"} {
		filled := make([]int, l.buckets)
		const n = 100 * 1024
		for i := range n {
			filled[l.bucket(principals, fmt.Sprintf(format, i))]++
		}
		for bucket, got := range filled { // mean 100, deviation 10: six deviations
			if got < 40 || got > 160 {
				t.Errorf("%s: bucket %d has %d of 100", name, bucket, got)
			}
		}
	}
}

// TestHashIsForEver pins the hash: nodes of different versions share buckets.
func TestHashIsForEver(t *testing.T) {
	for name, want := range map[string]uint64{"": 0xefd01f60ba992926, "ann": hash([]byte("ann"))} {
		if got := hash(name); got != want {
			t.Errorf("hash(%q) = %#x, want %#x", name, got, want)
		}
	}
}

func TestWindow(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var w window
	if w.count(now, windowMinimum-1, windowMinimum-1) {
		t.Error("away after fewer calls than say anything")
	}
	w.reset()
	for i := range 90 {
		if w.count(now.Add(time.Duration(i)*20*time.Millisecond), 1, 0) {
			t.Error("away without a failure")
		}
	}
	now = now.Add(1800 * time.Millisecond)
	for range 10 {
		if w.count(now, 1, 1) {
			t.Error("away at exactly a tenth")
		}
	}
	if !w.count(now, 1, 1) {
		t.Error("not away above a tenth")
	}
	if later := now.Add(windowSlices * windowSlice); w.count(later, windowMinimum, 0) {
		t.Error("failures count for longer than the window")
	}
}

func TestQueue(t *testing.T) {
	q := newQueue(3)
	for _, name := range []string{"a", "b", "a", "c", "d", "a"} {
		q.add(principals, []byte(name))
	}
	if s := q.stats(); s.length != 3 || s.peak != 3 || s.overruns != 1 {
		t.Errorf("three names and one too many: %+v", s)
	}
	if !q.takeOverrun() || q.takeOverrun() {
		t.Error("the overrun is not reported once")
	}
	taken := q.take(principals, 2, nil)
	if len(taken) != 2 || q.stats().length != 3 {
		t.Errorf("took %v, %d count: what is under way must count", taken, q.stats().length)
	}
	q.add(principals, []byte(taken[0])) // there is no room, and it is under way
	q.settle(principals, taken, true)
	if s := q.stats(); s.length != 3 {
		t.Errorf("after a failure %d names wait, want 3", s.length)
	}
	q.settle(principals, q.take(principals, 10, nil), false)
	if s := q.stats(); s.length != 0 || s.peak != 3 {
		t.Errorf("at the end %+v", s)
	}
}

func TestQueueDoesNotAllocateForAKnownName(t *testing.T) {
	q := newQueue(10)
	name := []byte("somebody")
	q.add(principals, name)
	if n := testing.AllocsPerRun(100, func() { q.add(principals, name) }); n != 0 {
		t.Errorf("%.1f allocations", n)
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	err := Config{URL: "http://x", Node: "a b", Lease: time.Second, Expect: -1, Queue: 1}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"redis:", "node id", "lease 1s is too short", "expected population", "queue 1 ", "displaced sessions"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("not reported: %s\nin: %v", part, err)
		}
	}
	if err := quickValid().Validate(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	if err := (Config{URL: "redis://h:1", Node: "a", Displaced: quickValid().Displaced}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func quickValid() Config {
	c := quick("redis://127.0.0.1:1", "a")
	c.Displaced = func(session.ID) {}
	return c
}
