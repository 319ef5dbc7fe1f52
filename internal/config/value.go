package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value connects a row of the table with its field. Every source gives text,
// so there is one parser and one check for a key wherever it comes from.
type value interface {
	// set checks text and stores it; the error says what is allowed.
	set(text string) error
	// text is the stored value in a form that set reads back.
	text() string
	// kind is the word that the help text shows for it.
	kind() string
	// allowed says in words what set accepts.
	allowed() string
}

// listValue is a value that the file may write as a sequence; as text its
// elements are separated by commas.
type listValue interface {
	value
	elements() []string
}

// scalar is a value made of functions.
type scalar[T any] struct {
	field *T
	word  string
	want  string
	parse func(string) (T, error)
	print func(T) string
}

func (s scalar[T]) set(text string) error {
	v, err := s.parse(text)
	if err != nil {
		return err
	}
	*s.field = v
	return nil
}

func (s scalar[T]) text() string    { return s.print(*s.field) }
func (s scalar[T]) kind() string    { return s.word }
func (s scalar[T]) allowed() string { return s.want }

// checked returns a scalar whose only error is what is allowed.
func checked[T any](field *T, word, want string, print func(T) string, parse func(string) (T, bool)) scalar[T] {
	return scalar[T]{field, word, want, func(text string) (T, error) {
		v, ok := parse(text)
		if !ok {
			return v, errors.New("want " + want)
		}
		return v, nil
	}, print}
}

func boolean(field *bool) value {
	return checked(field, "bool", "true or false", strconv.FormatBool, func(text string) (bool, bool) {
		return text == "true", text == "true" || text == "false"
	})
}

func intIn(field *int, low, high int) value {
	want := fmt.Sprintf("a whole number from %d to %d", low, high)
	return checked(field, "number", want, strconv.Itoa, func(text string) (int, bool) {
		n, err := strconv.Atoi(text)
		return n, err == nil && n >= low && n <= high
	})
}

func sizeIn[T int | int64](field *T, low, high int64) scalar[T] {
	want := fmt.Sprintf("a size from %s to %s, in B, KiB, MiB or GiB", FormatSize(low), FormatSize(high))
	print := func(n T) string { return FormatSize(int64(n)) }
	return checked(field, "size", want, print, func(text string) (T, bool) {
		n, err := ParseSize(text)
		return T(n), err == nil && n >= low && n <= high
	})
}

// zeroOr also accepts zero, which has a meaning of its own.
func zeroOr[T any](s scalar[T], zero string) value {
	want := zero + ", or " + s.want
	return checked(s.field, s.word, want, s.print, func(text string) (T, bool) {
		if text == zero || text == "0" {
			var nothing T
			return nothing, true
		}
		v, err := s.parse(text)
		return v, err == nil
	})
}

// durationIn panics when low or high is not a duration: the table is wrong.
func durationIn(field *time.Duration, low, high string) value {
	least, most := mustDuration(low), mustDuration(high)
	want := fmt.Sprintf("a duration from %s to %s, as 500ms, 10s or 5m", low, high)
	return checked(field, "duration", want, formatDuration, func(text string) (time.Duration, bool) {
		d, err := time.ParseDuration(text)
		return d, err == nil && d >= least && d <= most
	})
}

func mustDuration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return d
}

// formatDuration is Duration.String without units that are zero: 5m, not 5m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func oneOf[T ~string](field *T, words ...T) value {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	print := func(v T) string { return string(v) }
	return checked(field, strings.Join(all, "|"), "one of "+strings.Join(all, ", "), print, func(text string) (T, bool) {
		return T(text), slices.Contains(words, T(text))
	})
}

// shareOf is a part of a whole.
func shareOf(field *float64) value {
	print := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	return checked(field, "share", "a number from 0 to 1, as 0.01", print, func(text string) (float64, bool) {
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil && f >= 0 && f <= 1
	})
}

// memoryLimit is a size, or a share of the memory that there is. It cannot be
// switched off: without a limit a control group ends the process instead.
func memoryLimit(field *MemoryLimit) value {
	const least, most = 32 << 20, 1 << 50
	want := "a size of at least 32MiB, as 512MiB or 2GiB, or a share from 10% to 90%"
	print := func(l MemoryLimit) string {
		if l.Bytes != 0 {
			return FormatSize(l.Bytes)
		}
		return strconv.Itoa(l.Percent) + "%"
	}
	return checked(field, "size", want, print, func(text string) (MemoryLimit, bool) {
		if share, ok := strings.CutSuffix(text, "%"); ok {
			n, err := strconv.Atoi(share)
			return MemoryLimit{Percent: n}, err == nil && n >= 10 && n <= 90
		}
		n, err := ParseSize(text)
		return MemoryLimit{Bytes: n}, err == nil && n >= least && n <= most
	})
}

// list is a value with elements, each checked by one.
type list struct {
	field *[]string
	word  string
	want  string
	one   func(string) bool
}

// maxElements bounds every list.
const maxElements = 64

func (l list) set(text string) error {
	if text == "" {
		*l.field = nil
		return nil
	}
	parts := strings.Split(text, ",")
	if len(parts) > maxElements {
		return fmt.Errorf("has %d elements, at most %d are allowed", len(parts), maxElements)
	}
	for i, part := range parts {
		parts[i] = strings.TrimSpace(part)
		if !l.one(parts[i]) {
			return fmt.Errorf("element %q: want %s", withoutCredentials(parts[i]), l.want)
		}
		if slices.Contains(parts[:i], parts[i]) {
			return fmt.Errorf("element %q is there twice", parts[i])
		}
	}
	*l.field = parts
	return nil
}

func (l list) text() string       { return strings.Join(*l.field, ",") }
func (l list) kind() string       { return l.word }
func (l list) allowed() string    { return "a list, each element " + l.want }
func (l list) elements() []string { return *l.field }
