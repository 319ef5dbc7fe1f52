package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Fault is one thing that is wrong with the configuration.
type Fault struct {
	Key     string // as it was written, also when nobody knows it; "" when the fault is of a whole source
	Value   string // as it was given; Hidden for a secret
	Origin  Origin
	Problem string // what is allowed, or why the value cannot be
}

// maxShown bounds how much of a wrong value is repeated.
const maxShown = 80

// Shown is the value, cut where it is long.
func (f Fault) Shown() string {
	if len(f.Value) > maxShown {
		return f.Value[:maxShown] + "..."
	}
	return f.Value
}

func (f Fault) String() string {
	if f.Key == "" {
		return fmt.Sprintf("%s: %s", f.Origin, f.Problem)
	}
	return fmt.Sprintf("%s = %q (%s): %s", f.shownKey(), f.Shown(), f.Origin, f.Problem)
}

// shownKey is the key, quoted where it is not one that we could have.
func (f Fault) shownKey() string {
	if len(f.Key) <= maxShown && !strings.ContainsFunc(f.Key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return f.Key
	}
	return strconv.Quote(f.Key[:min(len(f.Key), maxShown)])
}

// ofNobody stands for the value of a key that does not exist: which key was
// meant is not known, and it may be one with a secret.
func ofNobody(value string) string {
	if value == "" {
		return ""
	}
	return Hidden
}

// Faults is the error of Load: everything that is wrong, at once.
type Faults []Fault

func (f Faults) Error() string {
	var b strings.Builder
	if len(f) == 1 {
		b.WriteString("1 fault in the configuration:")
	} else {
		fmt.Fprintf(&b, "%d faults in the configuration:", len(f))
	}
	for _, fault := range f {
		b.WriteString("\n  ")
		b.WriteString(fault.String())
	}
	return b.String()
}

// Origin is where a value came from.
type Origin struct {
	source source
	detail string // the flag, the variable, or FILE:LINE
}

// source orders the sources by their strength, the weakest first.
type source int

const (
	fromDefault source = iota
	fromFile
	fromEnvironment
	fromFlag
)

// String is "default", "limpet.yaml:7", "environment LIMPET_NODE" or "flag --node".
func (o Origin) String() string {
	switch o.source {
	case fromFile:
		return o.detail
	case fromEnvironment:
		return "environment " + o.detail
	case fromFlag:
		return "flag --" + o.detail
	default:
		if o.detail != "" {
			return "default: " + o.detail
		}
		return "default"
	}
}
