package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// errSize says what a size looks like, whatever was wrong with it.
var errSize = errors.New("not a size: a whole number with B, KiB, MiB or GiB")

var sizeUnits = []struct {
	suffix string
	shift  uint
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}

// ParseSize reads a whole number of bytes with one of the units B, KiB, MiB
// and GiB (powers of 1024); a bare number is bytes. Units of 1000 and bare
// letters are refused rather than guessed: 64k is 64,000 to some and 65,536
// to others.
func ParseSize(text string) (int64, error) {
	digits, shift := text, uint(0)
	for _, unit := range sizeUnits {
		if rest, ok := strings.CutSuffix(text, unit.suffix); ok {
			digits, shift = strings.TrimRight(rest, " "), unit.shift
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, errSize
	}
	return int64(n << shift), nil
}

// FormatSize writes n bytes in the largest unit that needs no fraction, in a
// form that ParseSize reads back.
func FormatSize(n int64) string {
	for _, unit := range sizeUnits {
		if n != 0 && n%(1<<unit.shift) == 0 {
			return strconv.FormatInt(n>>unit.shift, 10) + unit.suffix
		}
	}
	return "0B"
}
