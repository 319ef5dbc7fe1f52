package bridge

import (
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/limpet-gateway/limpet/internal/logtest"
)

// While a broker is away the library says the same at every try.
func TestKafkaLoggerSaysTheSameOnce(t *testing.T) {
	var log logtest.Log
	l := newKafkaLogger(slog.New(slog.NewTextHandler(&log, nil)))
	for range 100 {
		l.Log(kgo.LogLevelWarn, "unable to open connection to broker", "addr", "127.0.0.1:9092")
		l.Log(kgo.LogLevelError, "something else")
		l.Log(kgo.LogLevelInfo, "a request")
	}
	if log.Count("unable to open") != 1 || log.Count("something else") != 1 || log.Count("\n") != 2 {
		t.Errorf("logged:\n%s", &log)
	}
}
