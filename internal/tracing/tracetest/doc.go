// Package tracetest is a collector of traces for tests: a real receiver of the
// OpenTelemetry protocol over HTTP, that can also fail.
package tracetest
