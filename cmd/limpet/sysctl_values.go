package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// countValue is a flag for a number of things: 1000000, 1_000_000, 200k or 1M.
type countValue struct{ n *int64 }

func (v countValue) String() string {
	if v.n == nil || *v.n == 0 {
		return ""
	}
	return strconv.FormatInt(*v.n, 10)
}

func (v countValue) Type() string { return "count" }

func (v countValue) Set(text string) error {
	n, err := parseScaled(text, map[string]int64{"": 1, "k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6})
	if err != nil {
		return fmt.Errorf("%w: write a whole number such as 1000000, 200k or 1M", err)
	}
	*v.n = n
	return nil
}

// sizeValue is a flag for bytes: 8GiB, 512MiB, 16G (binary too), 1073741824.
type sizeValue struct{ n *int64 }

func (v sizeValue) String() string {
	if v.n == nil || *v.n == 0 {
		return ""
	}
	return strconv.FormatInt(*v.n, 10)
}

func (v sizeValue) Type() string { return "size" }

func (v sizeValue) Set(text string) error {
	n, err := parseScaled(text, map[string]int64{
		"": 1, "B": 1, "K": 1 << 10, "KiB": 1 << 10, "M": 1 << 20, "MiB": 1 << 20, "G": 1 << 30, "GiB": 1 << 30, "T": 1 << 40, "TiB": 1 << 40,
	})
	if err != nil {
		return fmt.Errorf("%w: write a size such as 8GiB or 512MiB", err)
	}
	*v.n = n
	return nil
}

// parseScaled reads a whole number with a unit behind it.
func parseScaled(text string, units map[string]int64) (int64, error) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	scale, ok := units[text[len(digits):]]
	if !ok {
		return 0, fmt.Errorf("unit %q is not known", text[len(digits):])
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(strings.TrimSpace(digits), "_", ""), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number that fits", text)
	}
	if n < 0 {
		return 0, fmt.Errorf("%s is negative", text)
	}
	if n > math.MaxInt64/scale {
		return 0, fmt.Errorf("%s is too large", text)
	}
	return n * scale, nil
}
