package telemetry

import (
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/admission"
	"github.com/limpet-gateway/limpet/internal/auth"
	"github.com/limpet-gateway/limpet/internal/overload"
	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/limpet-gateway/limpet/internal/tracing/otlp"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/registry/redisdir"
)

// Sources are the parts of a node that are measured. What is nil is left out.
type Sources struct {
	Node    string // name of the node
	Version string
	Started time.Time
	// Status says how ready the node is, and why not quite.
	Status func() (status string, reasons []string)
	// HostLimits are the settings of the host that fell short at the start,
	// one line each.
	HostLimits []string

	// Host reads the kernel's numbers; nil leaves out those that cost something.
	Host *HostReader

	Admission *admission.Table
	Auth      *auth.Service // nil where nobody has to authenticate
	Engine    *reactor.Engine
	Table     *registry.Table
	Uplink    *bridge.Uplink
	Downlink  *bridge.Downlink
	Router    *bridge.Router
	Bus       func() bridge.BusStats // nil on a node that is alone
	BusLag    func() []bridge.PartitionLag
	Traffic   *bridge.Traffic
	// OverRate is how many messages of clients were dropped for their rate.
	OverRate func() (low, medium uint64)
	// Reloads is how often the configuration was read again, and had faults.
	Reloads func() (done, refused uint64)

	Directory *redisdir.Directory
	Overload  *overload.Guard

	// Traces and Spans are nil together, where nobody is followed.
	Traces *tracing.Tracer
	Spans  func() otlp.Stats
}

// lags are those of all partitions that this node consumes.
func (s *Sources) lags() []bridge.PartitionLag {
	var all []bridge.PartitionLag
	if s.Downlink != nil {
		all = s.Downlink.Lag()
	}
	if s.BusLag != nil {
		all = append(all, s.BusLag()...)
	}
	return all
}

func (s *Sources) sessions() int {
	if s.Engine == nil {
		return 0
	}
	return s.Engine.Sessions()
}
