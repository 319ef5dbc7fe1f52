package meter

import "runtime/metrics"

// Releasable is the heap that a full collection might give back to the system:
// what the runtime holds for new objects, and what was allocated since the
// last collection and may be garbage. Any goroutine.
func Releasable() int64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	free, objects, live := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()
	if objects > live {
		free += objects - live
	}
	return int64(free)
}
