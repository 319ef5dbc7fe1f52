package api

import (
	"net/http"
	"time"
)

// Info describes a running gateway. The commands push and tail find its
// Kafka through it.
type Info struct {
	Node        string    `json:"node"`
	Version     string    `json:"version"`
	Started     time.Time `json:"started"` // zero in Config: when Listen was called
	Listen      string    `json:"listen"`  // HOST:PORT for WebSocket clients
	Uplink      string    `json:"uplink"`  // kafka, echo or discard
	Kafka       []string  `json:"kafka"`   // seed brokers as HOST:PORT; empty without Kafka
	TopicPrefix string    `json:"topic_prefix"`
}

// infoAnswer is Info with what changes from one request to the next.
type infoAnswer struct {
	Info
	UptimeSeconds int64 `json:"uptime_seconds"`
}

// health answers GET /healthz.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if s.config.Alive != nil {
		if err := s.config.Alive(); err != nil {
			WriteProblem(w, http.StatusServiceUnavailable, err.Error())
			return
		}
	}
	WriteJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"alive"})
}

// ready answers GET /readyz: 200 while connections should be sent here, 503
// otherwise, the report in both cases. A degraded node answers 200: it still
// does its work, and were all nodes to answer 503 because the Redis that they
// share is gone, a load balancer would be left with none.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	report := s.config.Readiness.Report()
	status := http.StatusOK
	if !report.Serving() {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	WriteJSON(w, status, report)
}

// info answers GET /v1/info.
func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	answer := infoAnswer{s.config.Info, int64(time.Since(s.config.Info.Started) / time.Second)}
	if answer.Kafka == nil {
		answer.Kafka = []string{} // an empty list, not null
	}
	WriteJSON(w, http.StatusOK, answer)
}
