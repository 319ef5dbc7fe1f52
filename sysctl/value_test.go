package sysctl

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]Version{
		"6.8.0-31-generic": {6, 8}, "3.10.0-1160.el7.x86_64": {3, 10}, "6.18.44-fc-v509": {6, 18}, "7.0": {7, 0}, "6.1+": {6, 1},
	} {
		if got, err := ParseVersion(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "6", "six.one", "6.", ".1", "-6.1", "0.1", "99999999999999999999.1"} {
		if got, err := ParseVersion(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestVersionBefore(t *testing.T) {
	for _, c := range []struct {
		v, w Version
		want bool
	}{
		{Version{4, 11}, Version{4, 12}, true}, {Version{4, 12}, Version{4, 12}, false}, {Version{5, 0}, Version{4, 12}, false},
		{Version{3, 99}, Version{4, 0}, true}, {Version{}, Version{4, 12}, false}, {Version{4, 12}, Version{}, false},
	} {
		if got := c.v.Before(c.w); got != c.want {
			t.Errorf("%v before %v: %v", c.v, c.w, got)
		}
	}
}

func TestCountAndBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", Unlimited: "unlimited"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 10 << 20: "10.0 MiB", 100 << 30: "100 GiB", 1536: "1.50 KiB", Unlimited: "unlimited"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

// The arithmetic never wraps around: the exact result, or Unlimited.
func TestSaturation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64Min(0).Draw(t, "a"), rapid.Int64Min(0).Draw(t, "b")
		if got := add(a, b); got < a || got < b || got != Unlimited && got != a+b {
			t.Fatalf("add(%d, %d) = %d", a, b, got)
		}
		got := mul(a, b)
		if hi := float64(a) * float64(b); got == Unlimited && hi < math.MaxInt64/2 || got != Unlimited && (got != a*b || hi > math.MaxInt64*1.001) {
			t.Fatalf("mul(%d, %d) = %d", a, b, got)
		}
		if d := rapid.Int64Range(1, 1<<40).Draw(t, "d"); ceilDiv(a, d) != a/d && ceilDiv(a, d) != a/d+1 || ceilDiv(a, d) < 0 {
			t.Fatalf("ceilDiv(%d, %d) = %d", a, d, ceilDiv(a, d))
		}
	})
}

// drawRule makes any rule that the table may hold, with a value of its length.
func drawRule(t *rapid.T) (Rule, Value) {
	n := func(label string) int64 { return rapid.Int64Range(0, 1<<40).Draw(t, label) }
	switch rapid.IntRange(0, 5).Draw(t, "op") {
	case 0:
		return Rule{Op: Any}, numbers(n("have"))
	case 1:
		return Rule{Op: AtLeast, Want: []int64{n("w1"), n("w2"), n("w3")}}, numbers(n("h1"), n("h2"), n("h3"))
	case 2:
		return Rule{Op: AtMost, Want: []int64{Keep, n("w"), Keep}}, numbers(n("h1"), n("h2"), n("h3"))
	case 3:
		return Rule{Op: OneOf, Want: []int64{n("w1"), n("w2")}}, numbers(n("have"))
	case 4:
		return Rule{Op: OneWord, Words: []string{"madvise", "never"}}, Value{Word: rapid.SampledFrom([]string{"always", "never"}).Draw(t, "word")}
	}
	low := rapid.Int64Range(1024, 60000).Draw(t, "low")
	return Rule{Op: Span, Want: []int64{low, 65535}}, numbers(rapid.Int64Range(1, 65535).Draw(t, "h1"), rapid.Int64Range(1, 65535).Draw(t, "h2"))
}

// What a rule would write satisfies it, keeps what sufficed, and is stable.
func TestTargetProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule, have := drawRule(t)
		target := rule.Target(have)
		if !rule.Met(target) {
			t.Fatalf("%+v: target %v of %v does not meet it", rule, target, have)
		}
		if rule.Met(have) && target.Raw() != have.Raw() {
			t.Fatalf("%+v: %v suffices and would become %v", rule, have, target)
		}
		if again := rule.Target(target); again.Raw() != target.Raw() {
			t.Fatalf("%+v: %v then %v", rule, target, again)
		}
		if rule.Op == AtLeast && !rule.Raises(have, target) {
			t.Fatalf("%+v: from %v to %v lowers a field", rule, have, target)
		}
		for i, want := range rule.Want {
			if rule.Op == AtMost && want == Keep && target.Numbers[i] != have.Numbers[i] {
				t.Fatalf("%+v: field %d of %v changed to %v", rule, i, have, target)
			}
		}
	})
}

func TestRaises(t *testing.T) {
	for _, c := range []struct {
		op       Op
		from, to Value
		want     bool
	}{
		{AtLeast, numbers(128), numbers(4096), true},
		{AtLeast, numbers(1, 5, 9), numbers(2, 5, 9), true},
		{AtMost, numbers(4096, 131072, 6291456), numbers(4096, 16384, 6291456), false},
		{OneOf, numbers(0), numbers(1), true},
		{OneOf, numbers(2), numbers(1), false},
		{Span, numbers(32768, 60999), numbers(10000, 65535), true},
		{Span, numbers(32768, 60999), numbers(60000, 65535), false},
		{OneWord, Value{Word: "always"}, Value{Word: "madvise"}, false},
	} {
		if got := (Rule{Op: c.op}).Raises(c.from, c.to); got != c.want {
			t.Errorf("%v -> %v: %v", c.from, c.to, got)
		}
	}
}

// Numbers that the kernel prints come back as they were.
func TestParseNumbersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := Value{Numbers: rapid.SliceOfN(rapid.Int64Range(0, unlimitedFrom-1), 1, 8).Draw(t, "numbers")}
		got, err := parseNumbers(v.Raw())
		if err != nil || got.Raw() != v.Raw() {
			t.Fatalf("%q: %v, %v", v.Raw(), got, err)
		}
	})
}

func FuzzParseNumbers(f *testing.F) {
	for _, seed := range []string{"4096", "1\t2 3", "max", "", "-1", "18446744073709551615", "1e9", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseNumbers(text)
		if err != nil {
			return
		}
		if len(v.Numbers) == 0 {
			t.Fatalf("%q: no numbers and no error", text)
		}
		for _, n := range v.Numbers {
			if n < 0 {
				t.Fatalf("%q: negative %d", text, n)
			}
		}
	})
}
