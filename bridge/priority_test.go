package bridge

import (
	"strings"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

func TestPriorityRules(t *testing.T) {
	rules, err := ParsePriorityRules([]string{`prefix:!=high`, `prefix:\x00\\=low`, "prefix:t==medium", "json:prio"})
	if err != nil {
		t.Fatal(err)
	}
	const fallback = session.Priority(9)
	for payload, want := range map[string]session.Priority{
		"!alarm": session.High, "\x00\\x": session.Low, "t=1": session.Medium, "": fallback, "plain": fallback,
		`{"prio":"low"}`: session.Low,
		" {\n\"a\" : [1, {\"prio\":\"low\"}, \"]\"], \"b\":\"x\\\"\", \"c\":-1.5e3, \"d\":null, \"prio\" : \"medium\" , \"e\":": session.Medium,
		`{"a":{"prio":"low"}}`: fallback,
		`{"prio":5}`:           fallback,
		`{"prio":"urgent"}`:    fallback,
		`{"prio"`:              fallback,
		`{"a":,"prio":"low"}`:  fallback,
		`{"a":]"prio":"low"}`:  fallback,
		`["prio","low"]`:       fallback,
		`{"a":"` + strings.Repeat("x", jsonWindow) + `","prio":"low"}`: fallback,
	} {
		if got := rules.Of([]byte(payload), fallback); got != want {
			t.Errorf("%.60q: %v, want %v", payload, got, want)
		}
	}
	payload := []byte(`{"temperature":21.5,"prio":"low"}`)
	if n := testing.AllocsPerRun(100, func() { rules.Of(payload, fallback) }); n != 0 {
		t.Errorf("Of allocates %v times", n)
	}
	if (&PriorityRules{}).Of(payload, session.Medium) != session.Medium || !(&PriorityRules{}).None() || rules.None() {
		t.Error("no rules give the fallback")
	}
}

func TestPriorityRuleFaults(t *testing.T) {
	_, err := ParsePriorityRules([]string{"prefix:x", "prefix:=low", "prefix:x=urgent", `prefix:\xzz=low`, `prefix:\x1g=low`, `prefix:\n=low`, "json:", "json:a", "json:b", "regexp:x"})
	if err == nil || len(strings.Split(err.Error(), "\n")) != 9 {
		t.Errorf("want 9 faults, got:\n%v", err)
	}
}

func FuzzPriorityOf(f *testing.F) {
	f.Add([]byte(`{"a":[{}],"p":"low"}`))
	f.Add([]byte("{\"a\":\"\\"))
	rules, err := ParsePriorityRules([]string{"json:p"})
	if err != nil {
		f.Fatal(err)
	}
	// It ends, does not panic, and gives one of the priorities or the fallback.
	f.Fuzz(func(t *testing.T, payload []byte) {
		if p := rules.Of(payload, session.Priority(9)); p > session.Low && p != 9 {
			t.Errorf("%q: %v", payload, p)
		}
	})
}

func TestLimiter(t *testing.T) {
	l := NewLimiter(RateLimits{Messages: 10, Bytes: 1000, Burst: time.Second})
	now := l.start
	id := session.ID{Incarnation: 1, Slot: 1<<24 + 5, Generation: 1}
	allowed := func(id session.ID, bytes int) (n int) {
		for l.Allow(id, bytes, now) {
			if n++; n > 1000 {
				t.Fatal("no limit")
			}
		}
		return n
	}
	if n := allowed(id, 1); n != 10 {
		t.Errorf("a burst of %d messages, want 10", n)
	}
	now = now.Add(250 * time.Millisecond)
	if n := allowed(id, 1); n != 2 {
		t.Errorf("%d messages after a quarter of a second, want 2", n)
	}
	other := id
	other.Slot++
	if n := allowed(other, 300); n != 3 {
		t.Errorf("a burst of %d messages of 300 bytes, want 3", n)
	}
	again := id
	again.Generation++ // a new session in the slot begins with an empty bucket
	if n := allowed(again, 1); n != 10 {
		t.Errorf("%d messages of the next session, want 10", n)
	}
	now = now.Add(time.Hour)
	if !l.Allow(other, 1<<20, now) {
		t.Error("a message larger than the burst is refused for ever")
	}
	if l.Allow(other, 1, now.Add(time.Second)) {
		t.Error("after a message of many seconds' worth the next is allowed at once")
	}
	if l.Refused() == 0 {
		t.Error("refusals are not counted")
	}
	var none *Limiter
	if !none.Allow(id, 1<<30, now) || none.Refused() != 0 {
		t.Error("no limiter limits something")
	}
	free := NewLimiter(RateLimits{})
	if !free.Allow(id, 1<<30, now) || free.top[id.Slot>>24].Load() != nil {
		t.Error("no limits limit something, or cost memory")
	}
	if n := testing.AllocsPerRun(100, func() { l.Allow(id, 1, now) }); n != 0 {
		t.Errorf("Allow allocates %v times", n)
	}
	if err := (RateLimits{Messages: -1, Burst: -1}).Validate(); err == nil || len(strings.Split(err.Error(), "\n")) != 2 {
		t.Errorf("Validate: %v, want two faults", err)
	}
}
