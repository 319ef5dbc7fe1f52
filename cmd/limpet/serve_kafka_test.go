package main

import (
	"log/slog"
	"testing"

	"github.com/limpet-gateway/limpet/bridge/embedded"
)

// The log of the embedded broker leaves room for everything else, in memory and,
// on disk, for the start that reads it.
func TestBrokerFitsTheBudget(t *testing.T) {
	for _, c := range []struct {
		dir              string
		configured, want int64
		budget           int64
	}{
		{"", 0, embedded.DefaultMaxBytesMemory, 8 << 30},
		{"", 0, 32 << 20, 256 << 20},
		{"", 1 << 30, 1 << 30, 256 << 20},
		{"/d", 0, embedded.DefaultMaxBytesDisk, 8 << 30},
		{"/d", 0, 128 << 20, 256 << 20},
		{"/d", 0, embedded.MinMaxBytes, 1 << 20},
		{"/d", 1 << 30, 1 << 30, 256 << 20},
	} {
		n := &node{log: slog.New(slog.DiscardHandler)}
		n.memory.Budget = c.budget
		broker := embedded.Config{DataDir: c.dir, MaxBytes: c.configured}
		if n.fitBroker(&broker); broker.MaxBytes != c.want {
			t.Errorf("directory %q, size %d, budget %d: %d, want %d", c.dir, c.configured, c.budget, broker.MaxBytes, c.want)
		}
	}
}
