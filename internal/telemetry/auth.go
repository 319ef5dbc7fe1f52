package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/limpet-gateway/limpet/internal/auth"
)

var (
	authDecisions = counter("auth_decisions_total", "Handshakes that authentication decided over, by result: accepted, denied (401 or 403), unavailable (503: a key set or the webhook could not be asked), overflow (503: too many waited), late (nobody waited any longer).", "result")
	authWaiting   = gauge("auth_waiting", "Handshakes that wait for authentication now.")
)

var authFamilies = []family{authDecisions, authWaiting}

func collectAuth(to chan<- prometheus.Metric, service *auth.Service) {
	s := service.Stats()
	for result, n := range authResults(s) {
		send(to, authDecisions, n, result)
	}
	send(to, authWaiting, s.Waiting)
}

// authResults are handshakes by what became of them.
func authResults(s auth.Stats) map[string]uint64 {
	return map[string]uint64{"accepted": s.Accepted, "denied": s.Denied, "unavailable": s.Unavailable, "overflow": s.Overflow, "late": s.Late}
}
