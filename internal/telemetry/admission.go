package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/limpet-gateway/limpet/internal/admission"
)

var (
	admRefused   = counter("admission_refused_total", "New connections that were refused, by the limit that they met.", "limit")
	admSources   = gauge("admission_sources", "IPv4 addresses and IPv6 /64 with connections that are counted for their limits.")
	admUncounted = counter("admission_uncounted_total", "Connections that were let in without being counted, because their place in the table was taken by sources with connections.")
)

var admissionFamilies = []family{admRefused, admSources, admUncounted}

func collectAdmission(to chan<- prometheus.Metric, table *admission.Table) {
	s := table.Stats()
	for limit, n := range admissionRefusals(s) {
		send(to, admRefused, n, limit)
	}
	send(to, admSources, s.Sources)
	send(to, admUncounted, s.Uncounted)
}

// admissionRefusals are by the limit that was met.
func admissionRefusals(s admission.Stats) map[string]uint64 {
	return map[string]uint64{"accept-rate": s.RefusedRate, "conns-per-ip": s.RefusedSourceConns, "rate-per-ip": s.RefusedSourceRate}
}
