package otlp

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
)

// Names of the OpenTelemetry specification that are looked at here; the SDK
// reads the others.
const (
	envDisabled = "OTEL_SDK_DISABLED"
	envExporter = "OTEL_TRACES_EXPORTER"
	envSampler  = "OTEL_TRACES_SAMPLER"
)

// Of these the first that is set counts.
var (
	envEndpoints = []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}
	envProtocols = []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"}
	envFiles     = [][]string{
		{"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"},
		{"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"},
		{"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"},
	}
)

// Wanted reports whether the configuration or the environment names a
// collector. OTEL_SDK_DISABLED=true overrules both, OTEL_TRACES_EXPORTER=none
// the environment: the endpoint there may be for another program's metrics.
func Wanted(endpoint string) bool {
	if strings.EqualFold(os.Getenv(envDisabled), "true") {
		return false
	}
	if endpoint != "" {
		return true
	}
	_, named := first(envEndpoints)
	return named != "" && os.Getenv(envExporter) != "none"
}

// checkEnvironment refuses what the environment asks for and is not here, and
// what the SDK would leave out with a line in no log of ours. endpoint is the
// configuration's.
func checkEnvironment(endpoint string, log *slog.Logger) error {
	if name, p := first(envProtocols); p != "" && p != "http/protobuf" {
		return fmt.Errorf("traces: %s = %q: want http/protobuf, for which collectors listen on port 4318", name, p)
	}
	if endpoint == "" {
		if e := os.Getenv(envExporter); e != "" && e != "otlp" {
			return fmt.Errorf("traces: %s = %q: want otlp, or none", envExporter, e)
		}
		name, text := first(envEndpoints)
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("traces: %s: want an http:// or https:// URL, as http://127.0.0.1:4318", name) // without its value, which may hold a password
		}
	}
	for _, names := range envFiles {
		if name, path := first(names); path != "" {
			if _, err := os.ReadFile(path); err != nil {
				return fmt.Errorf("traces: %s: %w", name, err)
			}
		}
	}
	if s := os.Getenv(envSampler); s != "" {
		log.Warn(envSampler+" is not heeded: trace-sample and trace-limit say what is followed", "value", s)
	}
	return nil
}

// first returns the first of the variables that is set, and its value.
func first(names []string) (name, value string) {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return name, value
		}
	}
	return "", ""
}
