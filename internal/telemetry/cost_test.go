package telemetry

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"testing"
)

// What a look costs, without the parts of a node: those add atomics to read.
func BenchmarkSnapshot(b *testing.B) {
	s := Sources{Host: new(HostReader)}
	for b.Loop() {
		if _, err := json.Marshal(s.Snapshot()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScrape(b *testing.B) {
	m, err := NewMetrics(Sources{Host: new(HostReader)}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	handler := m.Handler()
	for b.Loop() {
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil)); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}

func BenchmarkReadHost(b *testing.B) {
	for b.Loop() {
		if _, err := ReadHost(procRoot); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		(&Sources{}).Memory()
	}
}
