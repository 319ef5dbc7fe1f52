package main

import (
	"context"
	"log/slog"

	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/tracing"
	"github.com/limpet-gateway/limpet/internal/tracing/otlp"
)

// traces are what follows messages, and what takes the spans to a collector.
type traces struct {
	*tracing.Tracer
	exporter *otlp.Exporter
}

// startTraces follows messages if somebody has named a collector.
func (n *node) startTraces(ctx context.Context) error {
	if !otlp.Wanted(n.cfg.TraceEndpoint) {
		return nil
	}
	exporter, err := otlp.Start(ctx, exporterConfig(&n.cfg, n.log))
	if err != nil {
		return err
	}
	c := tracerConfig(&n.cfg)
	c.Provider = exporter.Provider()
	n.traces = &traces{tracing.New(c), exporter}
	return nil
}

func exporterConfig(c *config.Serve, log *slog.Logger) otlp.Config {
	return otlp.Config{Endpoint: c.TraceEndpoint, Node: c.Node, Version: versionText(), Log: log}
}

func tracerConfig(c *config.Serve) tracing.Config {
	return tracing.Config{Ratio: c.TraceSample, PerSecond: c.TraceLimit, Principals: c.TracePrincipals}
}

// tracer is nil where nobody is followed.
func (n *node) tracer() *tracing.Tracer {
	if n.traces == nil {
		return nil
	}
	return n.traces.Tracer
}

// stop sends the spans that wait, for as long as ctx allows.
func (t *traces) stop(ctx context.Context, log *slog.Logger) {
	if err := t.exporter.Close(ctx); err != nil {
		log.Warn("the end of some traces is lost", "err", err)
	}
}
