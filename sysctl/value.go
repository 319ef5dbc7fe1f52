package sysctl

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Unlimited stands for "no limit": RLIM_INFINITY, cgroup "max", and numbers so
// large that no machine reaches them (a cgroup v1 limit of 2^63 - 4096).
const Unlimited int64 = math.MaxInt64

// unlimitedFrom is where a number stops being a limit: 2^60.
const unlimitedFrom int64 = 1 << 60

// Keep, in a rule's wanted fields, leaves that field of a vector as it is.
const Keep int64 = -1

// Value is what a setting holds: one number, a vector such as tcp_mem, or a
// word such as "madvise".
type Value struct {
	Numbers []int64
	Word    string
}

func numbers(n ...int64) Value { return Value{Numbers: n} }

// parseNumbers reads what the kernel prints: decimal numbers parted by white
// space. Negative numbers are refused, as no setting in the table has one.
func parseNumbers(text string) (Value, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return Value{}, fmt.Errorf("the file is empty")
	}
	const most = 8 // the longest vector in the table has 3 fields
	if len(fields) > most {
		return Value{}, fmt.Errorf("%d fields where at most %d are expected", len(fields), most)
	}
	v := Value{Numbers: make([]int64, len(fields))}
	for i, f := range fields {
		n, err := parseNumber(f)
		if err != nil {
			return Value{}, err
		}
		v.Numbers[i] = n
	}
	return v, nil
}

func parseNumber(s string) (int64, error) {
	if s == "max" || s == "unlimited" {
		return Unlimited, nil
	}
	u, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number from 0 to 2^64-1", clip(s))
	}
	if u >= uint64(unlimitedFrom) {
		return Unlimited, nil
	}
	return int64(u), nil
}

// parseWord reads a choice of words with the chosen one in brackets, as in
// "always [madvise] never".
func parseWord(text string) (Value, error) {
	_, rest, ok := strings.Cut(text, "[")
	word, _, ok2 := strings.Cut(rest, "]")
	if !ok || !ok2 || word == "" {
		return Value{}, fmt.Errorf("%q has no chosen word in brackets", clip(text))
	}
	return Value{Word: word}, nil
}

// Raw is the value as it is written into the file, and as the kernel prints it.
func (v Value) Raw() string {
	if v.Word != "" {
		return v.Word
	}
	parts := make([]string, len(v.Numbers))
	for i, n := range v.Numbers {
		parts[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(parts, " ")
}

// format prints a value for people: digits grouped, bytes in binary units.
func (v Value) format(unit string) string {
	if v.Word != "" {
		return v.Word
	}
	parts := make([]string, len(v.Numbers))
	for i, n := range v.Numbers {
		switch {
		case n == Keep:
			parts[i] = "*"
		case n == Unlimited:
			parts[i] = "unlimited"
		case unit == unitMemory:
			parts[i] = Bytes(n)
		default:
			parts[i] = Count(n)
		}
	}
	return strings.Join(parts, " ")
}

// Count prints a number with its digits in groups of three.
func Count(n int64) string {
	if n == Unlimited {
		return "unlimited"
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Bytes prints a size in binary units with three significant digits.
func Bytes(n int64) string {
	if n == Unlimited {
		return "unlimited"
	}
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB"}
	if n > -1024 && n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f := float64(n)
	i := -1
	for (f >= 1024 || f <= -1024) && i < len(units)-1 {
		f /= 1024
		i++
	}
	digits := 2
	if f >= 100 {
		digits = 0
	} else if f >= 10 {
		digits = 1
	}
	return strconv.FormatFloat(f, 'f', digits, 64) + " " + units[i]
}

// add and mul saturate at Unlimited, so that an absurd input yields an absurd
// requirement and never a small one that wrapped around.
func add(ns ...int64) int64 {
	var sum int64
	for _, n := range ns {
		if n > Unlimited-sum {
			return Unlimited
		}
		sum += n
	}
	return sum
}

func mul(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	if a > Unlimited/b {
		return Unlimited
	}
	return a * b
}

// ceilDiv is a/b rounded up, for a >= 0 and b > 0.
func ceilDiv(a, b int64) int64 {
	if a == 0 {
		return 0
	}
	return (a-1)/b + 1
}

// roundPow2 rounds up to a power of two.
func roundPow2(n int64) int64 {
	p := int64(1)
	for p < n && p < unlimitedFrom {
		p <<= 1
	}
	return p
}

// floatMul multiplies a count by a measured fraction, rounded up.
func floatMul(n int64, f float64) int64 {
	x := math.Ceil(float64(n) * f)
	if x >= float64(unlimitedFrom) {
		return Unlimited
	}
	return int64(x)
}
