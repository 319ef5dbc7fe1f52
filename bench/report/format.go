package report

import (
	"fmt"
	"math"
	"strings"
)

// Format writes a value in its unit, short enough for a column.
func (f Figure) Format() string { return FormatValue(f.Value, f.Unit) }

// FormatValue writes v, which is in the given unit, for people.
func FormatValue(v float64, unit string) string {
	switch unit {
	case "B":
		return formatBytes(v)
	case "s":
		return formatSeconds(v)
	case "%":
		return trim(v*100) + " %"
	case "/s":
		return group(v) + "/s"
	default:
		return group(v)
	}
}

func formatBytes(v float64) string {
	switch abs := math.Abs(v); {
	case abs < 10_000:
		return group(math.Round(v)) + " B"
	case abs < 1<<20:
		return trim(v/(1<<10)) + " KiB"
	case abs < 1<<30:
		return trim(v/(1<<20)) + " MiB"
	default:
		return trim(v/(1<<30)) + " GiB"
	}
}

func formatSeconds(v float64) string {
	switch abs := math.Abs(v); {
	case abs == 0:
		return "0 s"
	case abs < 1e-3:
		return trim(v*1e6) + " µs"
	case abs < 1:
		return trim(v*1e3) + " ms"
	default:
		return trim(v) + " s"
	}
}

// trim writes three significant digits, or all before the point.
func trim(v float64) string {
	switch abs := math.Abs(v); {
	case abs >= 100 || abs == 0:
		return fmt.Sprintf("%.0f", v)
	case abs >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// group writes thousands apart: 15,000.
func group(v float64) string {
	if math.Abs(v) < 1000 {
		if v == math.Trunc(v) {
			return fmt.Sprintf("%.0f", v)
		}
		return trim(v)
	}
	digits := fmt.Sprintf("%.0f", math.Abs(v))
	var b strings.Builder
	if v < 0 {
		b.WriteByte('-')
	}
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
