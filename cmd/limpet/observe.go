package main

import (
	"github.com/limpet-gateway/limpet/internal/telemetry"
)

// observe puts onto the API address what shows the node at work.
func (n *node) observe() error {
	sources := telemetry.Sources{
		Node:    n.cfg.Node,
		Version: versionText(),
		Engine:  n.engine,
		Table:   n.table,
		Uplink:  n.uplink,
	}
	if n.downlink != nil {
		sources.Downlink = n.downlink.Downlink
		sources.Traffic = &n.traffic
	}
	metrics, err := telemetry.NewMetrics(sources, n.log)
	if err != nil {
		return err
	}
	n.api.Handle("GET /metrics", metrics.Handler())
	return nil
}
