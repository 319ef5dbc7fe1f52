package arch

import (
	"slices"
	"strings"
	"testing"
)

// arrows lists, for every package, the packages of this module that it may
// import; "*" is all. A name covers what lies below it unless that has a line
// of its own. Everything that is not listed is forbidden.
var arrows = map[string][]string{
	"cmd":       {"*"},
	"reactor":   {"wsproto", "internal/session"},
	"wsproto":   {},
	"registry":  {"internal/session"},
	"bridge":    {"internal/session", "internal/histogram", "internal/tracing"},
	"bench":     {"bench/load", "bench/probe", "bench/report", "bench/target"},
	"sysctl":    {},
	"internal/": {},

	"bench/load":   {},
	"bench/probe":  {},
	"bench/target": {"bench/probe"},
	"bench/report": {"bench/probe", "bench/target"},

	"internal/api":          {"internal/listen"},
	"internal/auth":         {"internal/session", "internal/inputfile"},
	"internal/config":       {"internal/nearest", "internal/inputfile"},
	"internal/listing":      {"registry", "internal/api/client", "internal/session"},
	"internal/live":         {"internal/telemetry"},
	"internal/tracing":      {},
	"internal/tracing/otlp": {},
	"internal/telemetry":    {"internal/admission", "internal/auth", "reactor", "registry", "registry/redisdir", "bridge", "internal/session", "internal/overload", "internal/meter", "internal/histogram", "internal/tracing", "internal/tracing/otlp"},
	"internal/gateway":      {"reactor", "wsproto", "registry", "bridge", "internal/auth", "internal/session", "internal/tracing", "internal/api", "internal/overload", "internal/meter"},
	"internal/cluster":      {"registry", "registry/redisdir", "bridge", "internal/api"},
	"registry/redisdir":     {"registry", "internal/session", "internal/histogram"},
	"bridge/embedded":       {"internal/listen"},
	"bridge/client":         {"bridge", "internal/session", "internal/api/client"},

	"bridge/kafkatest":            {"internal/freeport"},
	"internal/freeport":           {},
	"internal/logtest":            {},
	"internal/program":            {},
	"internal/tracing/tracetest":  {},
	"registry/redisdir/redistest": {"internal/freeport", "internal/logtest", "internal/program"},
}

// forTests are packages that start real counterparts for tests. Only tests, and
// each other, import them: the binary must not hold them.
var forTests = []string{
	"bridge/kafkatest", "internal/freeport", "internal/logtest", "internal/program", "internal/tracing/tracetest", "registry/redisdir/redistest",
}

// testArrows lists what tests may import beyond that: real counterparts to
// test against.
var testArrows = map[string][]string{
	"reactor":           {"internal/proxyheader", "internal/admission", "internal/logtest"},
	"bridge":            {"bridge/embedded", "bridge/kafkatest", "internal/logtest"},
	"registry/redisdir": {"registry/redisdir/redistest", "internal/logtest"},
	"internal/cluster":  {"registry/redisdir/redistest", "bridge/embedded", "internal/session"},
	"bridge/client":     {"bridge/embedded"},

	"internal/api":          {"internal/logtest"},
	"internal/auth":         {"internal/logtest"},
	"internal/gateway":      {"internal/logtest"},
	"internal/tracing/otlp": {"internal/logtest", "internal/tracing", "internal/tracing/tracetest"},
}

// reasons says why an arrow that somebody may want is forbidden. The first
// line that matches counts; the last matches all.
var reasons = []struct{ from, to, why string }{
	{"reactor", "bridge", "a loop never waits for Kafka: reactor declares the interface of where messages go, and cmd joins the two"},
	{"reactor", "registry", "a loop never waits for Redis: reactor declares the interface of who is told of a session, and cmd joins the two"},
	{"bridge", "reactor", "the bridge delivers to sessions, whatever transport they have: it declares the interface it needs, and cmd joins the two"},
	{"bridge", "registry", "the bridge asks where a principal is through an interface of its own, so that it runs and is tested without Redis"},
	{"registry", "reactor", "who is connected is told to the registry; it must never reach back into a loop"},
	{"registry", "bridge", "presence must keep working when Kafka does not"},
	{"registry", "registry/redisdir", "the table works without a shared directory; redisdir implements what registry declares"},
	{"wsproto", "", "protocol code knows bytes only: no sockets, clocks, sessions' owners or configuration"},
	{"sysctl", "", "host settings are useful without a gateway: limpet sysctl runs before anything else does"},
	{"bench", "reactor", "an instrument that shares code with what it measures measures less: it starts the gateway as a process"},
	{"", "cmd", "cmd joins the packages: one that needs something declares an interface, and cmd hands it in"},
	{"", "internal/config", "a package has a plain Config of its own, with defaults; only cmd knows the configuration of a process"},
	{"internal/session", "", "the shared vocabulary is at the bottom: it holds values only"},
	{"internal", "", "what internal packages share is handed in by cmd"},
	{"", "", "packages are joined in cmd; a new arrow needs a line in arrows and a thought about what it ties together"},
}

func allowed(from, to string) bool {
	best := ""
	for pkg := range arrows {
		if within(from, strings.TrimSuffix(pkg, "/")) && len(pkg) > len(best) {
			best = pkg
		}
	}
	for _, pkg := range arrows[best] {
		if _, own := arrows[to]; pkg == "*" || to == pkg || !own && within(to, pkg) {
			return true
		}
	}
	return false
}

func reason(from, to string) string {
	for _, r := range reasons {
		if (r.from == "" || within(from, r.from)) && (r.to == "" || within(to, r.to)) {
			return r.why
		}
	}
	panic("the last line of reasons matches all")
}

func TestArrows(t *testing.T) {
	for _, f := range tree(t) {
		for _, imported := range f.imports {
			to, ours := strings.CutPrefix(imported, module+"/")
			inTest := f.test && slices.Contains(testArrows[f.pkg], to)
			if ours && to != f.pkg && !inTest && !allowed(f.pkg, to) {
				t.Errorf("%s: %s must not import %s: %s", f.name, f.pkg, to, reason(f.pkg, to))
			}
			if ours && slices.Contains(forTests, to) && !f.test && !slices.Contains(forTests, f.pkg) {
				t.Errorf("%s imports %s, which is for tests", f.name, to)
			}
		}
	}
}

// An arrow that nothing needs any more is taken out, so that the lists say what is.
func TestArrowsAreUsed(t *testing.T) {
	used := map[[2]string]bool{}
	for _, f := range tree(t) {
		for _, imported := range f.imports {
			if to, ours := strings.CutPrefix(imported, module+"/"); ours {
				used[[2]string{f.pkg, to}] = true
			}
		}
	}
	for name, list := range map[string]map[string][]string{"arrows": arrows, "testArrows": testArrows} {
		for from, targets := range list {
			for _, to := range targets {
				needed := to == "*"
				for arrow := range used {
					needed = needed || within(arrow[0], from) && arrow[1] == to
				}
				if !needed {
					t.Errorf("%s: no file of %s imports %s", name, from, to)
				}
			}
		}
	}
}

// The rules themselves: what they must let through and what they must stop.
func TestArrowRules(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"cmd/limpet", "reactor", true},
		{"cmd/limpet", "internal/config", true},
		{"cmd/limpet", "bridge/embedded", true},
		{"reactor", "wsproto", true},
		{"reactor", "internal/session", true},
		{"reactor", "bridge", false},
		{"reactor", "registry/redisdir", false},
		{"bridge", "reactor", false},
		{"bridge", "internal/config", false},
		{"bridge/embedded", "bridge", false},
		{"registry", "registry/redisdir", false},
		{"registry/redisdir", "registry", true},
		{"wsproto", "reactor", false},
		{"internal/api", "internal/config", false},
		{"internal/session", "wsproto", false},
		{"bench", "cmd/limpet", false},
		{"nowhere", "internal/session", false},
	} {
		if got := allowed(c.from, c.to); got != c.want {
			t.Errorf("%s imports %s: allowed %v, want %v", c.from, c.to, got, c.want)
		}
		if !c.want && reason(c.from, c.to) == "" {
			t.Errorf("%s imports %s: no reason is given", c.from, c.to)
		}
	}
}
