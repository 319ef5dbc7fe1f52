// Package otlp makes the spans of internal/tracing and sends them to a
// collector, by the OpenTelemetry protocol over HTTP. Only the process's main
// package joins it to the rest: what is traced imports internal/tracing alone.
//
// Spans wait in a queue of 4,096 (each some 2 KiB) that never blocks its
// callers. While the collector is away it fills, and what does not fit is
// dropped and counted; that the collector is away is logged once, and that it
// is back. The protocol over gRPC is left out: collectors take both, and one
// client is enough.
package otlp
