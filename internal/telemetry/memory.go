package telemetry

import (
	"runtime/metrics"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
)

var (
	memoryParts = gauge("memory_bytes", "What the memory of the process goes to. The parts do not overlap: loops, registry, uplink, mailboxes and unfinished are counted by their owners, other_heap is the rest of the live and not yet collected objects (gnet's connections, Kafka's clients, the embedded broker), heap_free, stacks and runtime are the Go runtime's.", "part")
	resident    = gauge("resident_bytes_per_session", "Resident memory of the process divided by its open sessions; missing without any.")

	memoryFamilies = []family{memoryParts, resident}
)

// Memory is the ledger of a process: bytes by part.
type Memory struct {
	// Counted by the parts of the node.
	Loops      int64 `json:"loops"`      // slabs, queues and buffers of the event loops
	Registry   int64 `json:"registry"`   // the node's own table
	Uplink     int64 `json:"uplink"`     // messages that Kafka has not acknowledged
	Mailboxes  int64 `json:"mailboxes"`  // payloads that wait for a loop or a write
	Unfinished int64 `json:"unfinished"` // requests and messages that are not complete

	OtherHeap int64 `json:"other_heap"` // objects that are none of the above
	HeapFree  int64 `json:"heap_free"`  // held by the runtime for new objects
	Stacks    int64 `json:"stacks"`
	Runtime   int64 `json:"runtime"` // metadata of the allocator and the collector

	Resident int64 `json:"resident"` // of the process; not a part but the kernel's sum
}

// parts names the parts in the order of the documents.
func (m Memory) parts() []struct {
	name  string
	bytes int64
} {
	return []struct {
		name  string
		bytes int64
	}{
		{"loops", m.Loops}, {"registry", m.Registry}, {"uplink", m.Uplink}, {"mailboxes", m.Mailboxes},
		{"unfinished", m.Unfinished}, {"other_heap", m.OtherHeap}, {"heap_free", m.HeapFree},
		{"stacks", m.Stacks}, {"runtime", m.Runtime},
	}
}

// Memory adds up what the parts and the Go runtime hold. It stops nothing: the
// runtime's own counters are read, unlike with runtime.ReadMemStats.
func (s *Sources) Memory() Memory {
	var m Memory
	if s.Engine != nil {
		e := s.Engine.Stats()
		m.Loops = int64(e.StateBytes)
		m.Mailboxes = int64(e.MailboxBytes + e.OutboxBytes)
		m.Unfinished = int64(e.UnfinishedBytes)
	}
	if s.Table != nil {
		m.Registry = int64(s.Table.Bytes())
	}
	if s.Uplink != nil {
		m.Uplink = s.Uplink.Stats().BufferedBytes
	}
	objects := m.readRuntime()
	// The parts are read at slightly different moments, and uplink counts room
	// that pooled buffers do not take twice.
	m.OtherHeap = max(objects-m.Loops-m.Registry-m.Uplink-m.Mailboxes-m.Unfinished, 0)
	if self, err := procfs.Self(); err == nil {
		if stat, err := self.Stat(); err == nil {
			m.Resident = int64(stat.ResidentMemory())
		}
	}
	return m
}

// readRuntime fills in the runtime's parts and returns the bytes of objects.
// What was returned to the system is no memory of the process.
func (m *Memory) readRuntime() (objects int64) {
	const classes = "/memory/classes/"
	samples := make([]metrics.Sample, 0, 16)
	for _, d := range metrics.All() {
		if strings.HasPrefix(d.Name, classes) {
			samples = append(samples, metrics.Sample{Name: d.Name})
		}
	}
	metrics.Read(samples)
	for _, s := range samples {
		n := int64(s.Value.Uint64())
		switch strings.TrimPrefix(s.Name, classes) {
		case "heap/objects:bytes":
			objects = n
		case "heap/free:bytes", "heap/unused:bytes":
			m.HeapFree += n
		case "heap/stacks:bytes", "os-stacks:bytes":
			m.Stacks += n
		case "heap/released:bytes", "total:bytes":
		default:
			m.Runtime += n
		}
	}
	return objects
}

func collectMemory(to chan<- prometheus.Metric, m Memory, sessions int) {
	for _, p := range m.parts() {
		send(to, memoryParts, p.bytes, p.name)
	}
	if sessions > 0 && m.Resident > 0 {
		send(to, resident, float64(m.Resident)/float64(sessions))
	}
}
