package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/limpet-gateway/limpet/internal/tracing/otlp"
)

var (
	tracesTotal = counter("traces_total", "Handshakes, messages, requests and pushes that were to be traced, on whose word (client, service or node): followed, or limited since there were too many in that second.", "by", "result")
	spansTotal  = counter("trace_spans_total", "Spans by what became of them: exported to the collector, failed, or dropped since too many waited.", "result")
	spansWait   = gauge("trace_spans_waiting", "Spans that wait to be sent.")
)

var traceFamilies = []family{tracesTotal, spansTotal, spansWait}

func collectTraces(to chan<- prometheus.Metric, t tracing.Stats, s otlp.Stats) {
	for by := range t.Followed {
		send(to, tracesTotal, t.Followed[by], tracing.By(by).String(), "followed")
		send(to, tracesTotal, t.Limited[by], tracing.By(by).String(), "limited")
	}
	send(to, spansTotal, s.Exported, "exported")
	send(to, spansTotal, s.Failed, "failed")
	send(to, spansTotal, s.Dropped, "dropped")
	send(to, spansWait, s.Waiting)
}
