package telemetry

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/limpet-gateway/limpet/internal/histogram"
	"github.com/limpet-gateway/limpet/internal/session"
)

// Limits of /metrics.
const (
	maxScrapes    = 4 // at a time; more get 503
	scrapeTimeout = 10 * time.Second
)

// Metrics gives names to what the parts of a node count. Nothing is measured
// between scrapes: the parts count in atomics of their own, and a scrape adds
// them up.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger
}

// NewMetrics returns the metrics of a process. It reads /proc at each scrape.
func NewMetrics(s Sources, log *slog.Logger) (*Metrics, error) {
	m := &Metrics{registry: prometheus.NewPedanticRegistry(), log: log}
	all := []prometheus.Collector{
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsGC, collectors.MetricsScheduler)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(s.Node, s.Version),
		nodeCollector{s},
	}
	for _, c := range all {
		if err := m.registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return m, nil
}

// Handler answers scrapes, in the text format of Prometheus or in that of
// OpenMetrics. A part that cannot be read, /proc for instance, is left out and
// logged; the rest is served.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
		EnableOpenMetrics:   true,
	})
}

func buildInfo(node, version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "limpet_build_info",
		Help:        "1; the labels name the node and its version.",
		ConstLabels: prometheus.Labels{"node": node, "version": version},
	})
	info.Set(1)
	return info
}

// family is one metric with its labels, and a way to send values of it.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) family {
	return family{prometheus.NewDesc("limpet_"+name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) family {
	return family{prometheus.NewDesc("limpet_"+name, help, labels, nil), prometheus.GaugeValue}
}

// distribution's values are sent by sendHistogram.
func distribution(name, help string) family {
	return family{desc: prometheus.NewDesc("limpet_"+name, help, nil, nil)}
}

type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

func send[N number](to chan<- prometheus.Metric, f family, value N, labels ...string) {
	to <- prometheus.MustNewConstMetric(f.desc, f.kind, float64(value), labels...)
}

func sendHistogram(to chan<- prometheus.Metric, f family, h histogram.Snapshot) {
	to <- prometheus.MustNewConstHistogram(f.desc, h.Count, h.Sum, h.Within)
}

// nodeCollector asks the parts of a node at each scrape. It is one collector
// because a family may have values of several parts.
type nodeCollector struct{ Sources }

// allFamilies are those of every part.
var allFamilies = [][]family{engineFamilies, admissionFamilies, authFamilies, kafkaFamilies, directoryFamilies, memoryFamilies, overloadFamilies, traceFamilies, hostFamilies}

// Describe implements prometheus.Collector.
func (nodeCollector) Describe(to chan<- *prometheus.Desc) {
	for _, families := range allFamilies {
		for _, f := range families {
			to <- f.desc
		}
	}
}

// Collect implements prometheus.Collector.
func (c nodeCollector) Collect(to chan<- prometheus.Metric) {
	if c.Engine != nil {
		collectEngine(to, c.Engine)
	}
	if c.Admission != nil {
		collectAdmission(to, c.Admission)
	}
	if c.Auth != nil {
		collectAuth(to, c.Auth)
	}
	if c.Reloads != nil {
		done, refused := c.Reloads()
		send(to, reloads, done, "done")
		send(to, reloads, refused, "refused")
	}
	if c.OverRate != nil {
		low, medium := c.OverRate()
		send(to, drops, low, "in", session.Low.String(), "rate")
		send(to, drops, medium, "in", session.Medium.String(), "rate")
	}
	if c.Table != nil {
		collectTable(to, c.Table)
	}
	if c.Uplink != nil {
		collectUplink(to, c.Uplink)
	}
	if c.Downlink != nil {
		collectDownlink(to, c.Downlink)
	}
	for _, l := range c.lags() {
		send(to, lag, l.Records, l.Topic, strconv.Itoa(int(l.Partition)))
	}
	if c.Router != nil {
		collectRouter(to, c.Router)
	}
	if c.Bus != nil && c.Router != nil {
		collectBus(to, c.Bus(), c.Router.Stats())
	}
	if c.Directory != nil {
		collectDirectory(to, c.Directory)
	}
	if c.Traffic != nil {
		collectTraffic(to, c.Traffic)
	}
	collectMemory(to, c.Memory(), c.sessions())
	if c.Traces != nil {
		collectTraces(to, c.Traces.Stats(), c.Spans())
	}
	if c.Overload != nil {
		collectOverload(to, c.Overload)
	}
	host, err := c.Host.Read()
	if err != nil {
		to <- prometheus.NewInvalidMetric(hostSockets.desc, err)
		return
	}
	collectHost(to, host)
}
