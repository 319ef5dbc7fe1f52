package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// NewLogger returns a logger that writes records of at least the given level
// (debug, info, warn or error) to w, one line each, as "text" or "json". Both
// have the time with milliseconds; JSON has the date and zone too.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: replace(format)}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("log format %q: want text or json", format)
	}
}

const (
	textTime = "15:04:05.000"
	jsonTime = "2006-01-02T15:04:05.000Z07:00"
)

// replace shortens the time of a record, and writes durations as 1.5s rather
// than in nanoseconds.
func replace(format string) func([]string, slog.Attr) slog.Attr {
	layout := jsonTime
	if format == "text" {
		layout = textTime
	}
	return func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime:
			return slog.String(slog.TimeKey, a.Value.Time().Format(layout))
		case a.Value.Kind() == slog.KindDuration:
			return slog.String(a.Key, a.Value.Duration().Round(time.Microsecond).String())
		default:
			return a
		}
	}
}
