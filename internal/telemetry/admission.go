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
	send(to, admRefused, s.RefusedRate, "accept-rate")
	send(to, admRefused, s.RefusedSourceConns, "conns-per-ip")
	send(to, admRefused, s.RefusedSourceRate, "rate-per-ip")
	send(to, admSources, s.Sources)
	send(to, admUncounted, s.Uncounted)
}
