package sysctl

import (
	"fmt"
	"slices"
	"strings"
)

// Op is how a rule compares.
type Op int

const (
	Any     Op = iota // whatever it is suffices; the arithmetic says why
	AtLeast           // each field is at least the wanted one
	AtMost            // each field is at most the wanted one
	OneOf             // the number is one of the wanted ones, the first is preferred
	OneWord           // the word is one of the wanted ones, the first is preferred
	Span              // two fields, low and high, that span at least as many
)

// Rule is a requirement, worked out for one host and one need.
type Rule struct {
	Op    Op
	Want  []int64  // per field, or the choices of OneOf; Keep leaves a field free
	Words []string // of OneWord
	// Rank orders the choices of OneOf by what they allow, the least first, where
	// their numbers do not.
	Rank []int64
	// ZeroUnlimited is for settings where 0 means that there is no limit.
	ZeroUnlimited bool
	// Math is the arithmetic behind Want, for people.
	Math string
}

// Met says whether a value satisfies the rule.
func (r Rule) Met(v Value) bool {
	switch r.Op {
	case OneOf:
		return len(v.Numbers) > 0 && slices.Contains(r.Want, v.Numbers[0])
	case OneWord:
		return slices.Contains(r.Words, v.Word)
	case Span:
		return len(v.Numbers) == 2 && v.Numbers[1]-v.Numbers[0]+1 >= r.Want[1]-r.Want[0]+1
	case AtLeast, AtMost:
		if len(v.Numbers) < len(r.Want) {
			return false
		}
		for i, want := range r.Want {
			have := v.Numbers[i]
			if want == Keep || r.ZeroUnlimited && have == 0 {
				continue
			}
			if r.Op == AtLeast && have < want || r.Op == AtMost && have > want {
				return false
			}
		}
	}
	return true
}

// fields is how many numbers a value must have to be judged.
func (r Rule) fields() int {
	switch r.Op {
	case AtLeast, AtMost, Span:
		return len(r.Want)
	}
	return 0
}

// Target is the value to write: what is wanted, with the fields of the current
// value that already suffice left as they are.
func (r Rule) Target(current Value) Value {
	switch {
	case r.Met(current):
		return current
	case r.Op == OneOf:
		return numbers(r.Want[0])
	case r.Op == OneWord:
		return Value{Word: r.Words[0]}
	case r.Op == Span:
		t := Value{Numbers: slices.Clone(r.Want)}
		if len(current.Numbers) == 2 {
			t.Numbers[0] = min(t.Numbers[0], current.Numbers[0])
			t.Numbers[1] = max(t.Numbers[1], current.Numbers[1])
		}
		return t
	}
	t := Value{Numbers: slices.Clone(r.Want)}
	for i, want := range r.Want {
		if i >= len(current.Numbers) {
			continue
		}
		have := current.Numbers[i]
		switch {
		case want == Keep, r.Op == AtLeast && have > want, r.Op == AtMost && have < want:
			t.Numbers[i] = have
		}
	}
	// Fields beyond the rule's stay.
	if len(current.Numbers) > len(t.Numbers) {
		t.Numbers = append(t.Numbers, current.Numbers[len(t.Numbers):]...)
	}
	return t
}

// Raises says whether going from one value to the other lowers no number and
// changes no word. A wider span counts as raised.
func (r Rule) Raises(from, to Value) bool {
	if r.Op == OneWord || len(from.Numbers) != len(to.Numbers) {
		return false
	}
	if len(r.Rank) > 0 {
		return slices.Index(r.Rank, to.Numbers[0]) >= slices.Index(r.Rank, from.Numbers[0])
	}
	if r.Op == Span {
		return to.Numbers[1]-to.Numbers[0] >= from.Numbers[1]-from.Numbers[0]
	}
	for i := range from.Numbers {
		if to.Numbers[i] < from.Numbers[i] {
			return false
		}
	}
	return true
}

// text prints the requirement for the column "needed".
func (r Rule) text(unit string) string {
	switch r.Op {
	case Any:
		return "any"
	case AtMost:
		if len(r.Want) == 3 && r.Want[0] == Keep && r.Want[2] == Keep {
			return "middle field <= " + numbers(r.Want[1]).format(unit)
		}
		return "<= " + Value{Numbers: r.Want}.format(unit)
	case OneOf:
		parts := make([]string, len(r.Want))
		for i, n := range r.Want {
			parts[i] = Count(n)
		}
		return strings.Join(parts, " or ")
	case OneWord:
		return strings.Join(r.Words, " or ")
	case Span:
		return fmt.Sprintf("%s ports", Count(r.Want[1]-r.Want[0]+1))
	}
	return ">= " + Value{Numbers: r.Want}.format(unit)
}

func anything(math string, args ...any) Rule { return Rule{Op: Any, Math: fmt.Sprintf(math, args...)} }

func atLeast(want int64, math string, args ...any) Rule {
	return Rule{Op: AtLeast, Want: []int64{want}, Math: fmt.Sprintf(math, args...)}
}

func atMost(want int64, math string, args ...any) Rule {
	return Rule{Op: AtMost, Want: []int64{want}, Math: fmt.Sprintf(math, args...)}
}

func oneOf(want []int64, math string, args ...any) Rule {
	return Rule{Op: OneOf, Want: want, Math: fmt.Sprintf(math, args...)}
}
