package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Log is a logger whose level can be changed while it is in use. Its methods
// may be called from any goroutine.
type Log struct {
	*slog.Logger
	level      *slog.LevelVar
	everything *slog.Logger
}

// NewLog returns a logger that writes records of at least the given level
// (debug, info, warn or error) to w, one line each, as "text" or "json". Both
// have the time with milliseconds; JSON has the date and zone too.
func NewLog(w io.Writer, format, level string) (*Log, error) {
	l := &Log{level: new(slog.LevelVar)}
	if err := l.SetLevel(level); err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: replace(format)}
	var handler slog.Handler
	switch format {
	case "text":
		handler = slog.NewTextHandler(w, options)
	case "json":
		handler = slog.NewJSONHandler(w, options)
	default:
		return nil, fmt.Errorf("log format %q: want text or json", format)
	}
	l.everything = slog.New(handler)
	l.Logger = slog.New(leveled{handler, l.level})
	return l, nil
}

// SetLevel changes the lowest level that is logged: debug, info, warn or error.
func (l *Log) SetLevel(level string) error {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	l.level.Set(least)
	return nil
}

// Level is the lowest level that is logged.
func (l *Log) Level() string { return strings.ToLower(l.level.Level().String()) }

// Everything writes to the same place whatever the level is, for what somebody
// has asked to see.
func (l *Log) Everything() *slog.Logger { return l.everything }

// leveled is a handler that asks level first.
type leveled struct {
	slog.Handler
	level slog.Leveler
}

// Enabled implements slog.Handler.
func (h leveled) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

// WithAttrs implements slog.Handler.
func (h leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup implements slog.Handler.
func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.Handler.WithGroup(name), h.level}
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
