package arch

import (
	"slices"
	"strings"
	"testing"
)

// adapters names the places where a foreign library may be imported by code
// that is not a test, so that it can be replaced, upgraded and worked around
// in one place.
var adapters = []struct {
	library string // prefix of the import path
	where   []string
	why     string
}{
	{"github.com/panjf2000/gnet", []string{"reactor"},
		"its rules about threads and buffers are kept in one package"},
	{"github.com/gobwas/ws", []string{"wsproto", "reactor", "bench"},
		"framing is checked beyond what the library checks; reactor may use its opcodes, bench its frames"},
	{"github.com/twmb/franz-go", []string{"bridge"},
		"retries, buffers and acknowledgements are decided in one package"},
	{"github.com/redis/rueidis", []string{"registry/redisdir"},
		"pipelining and connection buffers are decided in one package, for the directory and for Pub/Sub"},
	{"github.com/klauspost/compress", []string{"wsproto"},
		"compressors are large: they are pooled in one place"},
	{"github.com/prometheus/client_golang", []string{"internal/telemetry"},
		"packages count in plain atomics; only telemetry gives them names"},
	{"go.opentelemetry.io/otel/sdk", []string{"internal/tracing/otlp"}, "spans are made and sent in one place"},
	{"go.opentelemetry.io/otel/exporters", []string{"internal/tracing/otlp"}, "spans are made and sent in one place"},
	{"go.opentelemetry.io/otel", []string{"internal/tracing", "bridge"},
		"what is followed is decided in one package; bridge may use the interfaces, for the hook of its Kafka client"},
	{"charm.land", []string{"internal/live"}, "the terminal is drawn in one place"},
	{"github.com/knadh/koanf", []string{"internal/config"}, "configuration is merged in one place"},
	{"github.com/spf13/pflag", []string{"internal/config", "cmd"}, "only cmd has a command line"},
	{"github.com/spf13/cobra", []string{"cmd"}, "only cmd has a command line"},
	{"github.com/golang-jwt/jwt", []string{"internal/auth"}, "which algorithms and keys are accepted is decided in one place"},
	{"github.com/MicahParks/jwkset", []string{"internal/auth"}, "which algorithms and keys are accepted is decided in one place"},
	{"github.com/pires/go-proxyproto", []string{"internal/proxyheader"}, "it reads streams and blocks: what it is handed is complete"},
	{"github.com/KimMachineGun/automemlimit", []string{"internal/memory"}, "the runtime's limits are set in one place"},
}

func TestAdapters(t *testing.T) {
	for _, f := range tree(t) {
		for _, imported := range f.imports {
			for _, a := range adapters {
				if f.test || imported != a.library && !strings.HasPrefix(imported, a.library+"/") {
					continue
				}
				if !slices.ContainsFunc(a.where, func(dir string) bool { return within(f.pkg, dir) }) {
					t.Errorf("%s imports %s: only %s may: %s", f.name, imported, strings.Join(a.where, ", "), a.why)
				}
			}
		}
	}
}

// pure lists what a package that is pure must not import, not even in parts.
var pure = map[string][]string{
	"wsproto":           {"net", "os", "syscall", "log", "log/slog", "context", "golang.org/x/sys/unix"},
	"internal/session":  {"net", "os", "syscall", "log", "log/slog", "context", "time", "sync"},
	"internal/overload": {"net", "os", "syscall", "runtime", "runtime/metrics", "runtime/debug", "golang.org/x/sys/unix"},
}

func TestPurePackages(t *testing.T) {
	for _, f := range tree(t) {
		for _, imported := range f.imports {
			if !f.test && slices.Contains(pure[f.pkg], imported) {
				t.Errorf("%s imports %s: %s works on values alone, without I/O, clocks or logs", f.name, imported, f.pkg)
			}
		}
	}
}
