package telemetry

import (
	"runtime/metrics"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"

	"github.com/limpet-gateway/limpet/internal/meter"
)

var (
	memoryParts = gauge("memory_bytes", "What the memory of the process goes to. The parts do not overlap: loops, registry, uplink, mailboxes, outbound and unfinished are counted by their owners, other_heap is the rest of the live and not yet collected objects (gnet's connections, Kafka's clients, the embedded broker), heap_free, stacks and runtime are the Go runtime's, program is code and other files that are mapped, sockets is what the kernel keeps for connections.", "part")
	resident    = gauge("resident_bytes_per_session", "Resident memory of the process divided by its open sessions; missing without any.")

	memoryUsed   = gauge("memory_used_bytes", "What counts against the budget: the charge of the control group without page cache where the budget is a share of its limit, else resident memory and the kernel's sockets.")
	memoryBudget = gauge("memory_budget_bytes", "What may count (memory-budget).")

	memoryFamilies = []family{memoryParts, resident, memoryUsed, memoryBudget}
)

// Memory is the ledger of a process: bytes by part.
type Memory struct {
	// Counted by the parts of the node.
	Loops      int64 `json:"loops"`      // slabs, queues and buffers of the event loops
	Registry   int64 `json:"registry"`   // the node's own table
	Uplink     int64 `json:"uplink"`     // messages that Kafka has not acknowledged
	Mailboxes  int64 `json:"mailboxes"`  // payloads that wait for a loop or a write
	Outbound   int64 `json:"outbound"`   // bytes that clients have not read yet, beyond what the kernel holds
	Unfinished int64 `json:"unfinished"` // requests and messages that are not complete

	OtherHeap int64 `json:"other_heap"` // objects that are none of the above
	HeapFree  int64 `json:"heap_free"`  // held by the runtime for new objects
	Stacks    int64 `json:"stacks"`
	Runtime   int64 `json:"runtime"` // metadata of the allocator and the collector

	Program int64 `json:"program"` // code and other files that are mapped; page cache to a control group

	Sockets int64 `json:"sockets"` // of the kernel, for connections; with their buffers where a control group of version 2 tells

	// Not parts but sums.
	Resident int64 `json:"resident"` // of the process, as the kernel counts it
	Used     int64 `json:"used"`     // what counts against Budget, at the latest look
	Budget   int64 `json:"budget"`   // 0: nobody keeps one
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
		{"outbound", m.Outbound}, {"unfinished", m.Unfinished}, {"other_heap", m.OtherHeap}, {"heap_free", m.HeapFree},
		{"stacks", m.Stacks}, {"runtime", m.Runtime}, {"program", m.Program}, {"sockets", m.Sockets},
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
		m.Outbound = int64(e.UnsentBytes)
		m.Unfinished = int64(e.UnfinishedBytes)
		m.Sockets = int64(e.Conns) * meter.SocketBytes
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
	m.OtherHeap = max(objects-m.Loops-m.Registry-m.Uplink-m.Mailboxes-m.Outbound-m.Unfinished, 0)
	if self, err := procfs.Self(); err == nil {
		if pages, err := self.Statm(); err == nil {
			m.Resident, m.Program = int64(pages.ResidentBytes()), int64(pages.SHRBytes())
		}
	}
	if s.Overload != nil {
		r := s.Overload.State().Reading
		if m.Used, m.Budget = r.Used, r.Budget; r.Budget > 0 {
			m.Sockets = r.Sockets // with their buffers, where a control group tells
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
	if m.Budget > 0 {
		send(to, memoryUsed, m.Used)
		send(to, memoryBudget, m.Budget)
	}
	if sessions > 0 && m.Resident > 0 {
		send(to, resident, float64(m.Resident)/float64(sessions))
	}
}
