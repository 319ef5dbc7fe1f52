package logtest

import (
	"bytes"
	"strings"
	"sync"
)

// Log is what has been written so far. The zero value is empty; its methods may
// be called from any goroutine.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Count is how often text is in it.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }
