package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/limpet-gateway/limpet/internal/inputfile"
)

// load runs Load over a command line, an environment and the text of a file;
// an empty text is no file.
func load(t *testing.T, args, environ []string, file string) (*Loaded, error) {
	t.Helper()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	AddFlags(flags)
	if file != "" {
		args = append(args, "--config", writeFile(t, file))
	}
	if err := flags.Parse(args); err != nil {
		t.Fatalf("parse %q: %v", args, err)
	}
	return Load(flags, environ)
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "limpet.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func mustLoad(t *testing.T, args, environ []string, file string) *Loaded {
	t.Helper()
	l, err := load(t, args, environ, file)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return l
}

// faultsOf returns the faults as text, with the directory of the test's file
// taken away.
func faultsOf(t *testing.T, args, environ []string, file string) []string {
	t.Helper()
	l, err := load(t, args, environ, file)
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("load returned %v, %v; want faults", l, err)
	}
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = directory.ReplaceAllString(f.String(), "limpet.yaml")
	}
	return texts
}

// directory matches the path of the test's file.
var directory = regexp.MustCompile(`/\S*/limpet\.yaml`)

func TestDefaults(t *testing.T) {
	got := mustLoad(t, nil, nil, "").Serve
	host, _ := os.Hostname()
	want := Serve{
		Listen: "127.0.0.1:8080", API: "127.0.0.1:8081", Node: nodeFromHost(host),
		Uplink: UplinkKafka, UplinkQueue: 16384, UplinkBuffer: 64 << 20, FlushTimeout: 10 * time.Second,
		TopicPrefix: "limpet.", CreateTopics: true, TopicPartitions: 12, InboxPartitions: 64, GroupTimeout: 10 * time.Second,
		ProduceTimeout: 2 * time.Second, Linger: 5 * time.Millisecond, Compression: CompressionSnappy,
		RedisExpect: 1_000_000, RedisLease: 10 * time.Second, RedisTimeout: 500 * time.Millisecond, RedisQueue: 1 << 18, RedisReregister: 150_000,
		BrokerListen: "127.0.0.1:0", BrokerRetention: 24 * time.Hour,
		SessionsPerPrincipal: 1, GroupsPerSession: 64, MaxMessageSize: 64 << 10, MaxFragments: 1024, OutboundLimit: 256 << 10,
		Deflate:        true,
		DeflateMinSize: 256, ControlRate: 100, RetryAfter: 5 * time.Second, LingerTimeout: 2 * time.Second,
		Heartbeat: 25 * time.Second, HeartbeatGrace: 15 * time.Second,
		HandshakeTimeout: 10 * time.Second, MessageTimeout: 30 * time.Second, CloseTimeout: 5 * time.Second,
		Auth: []string{"none"}, AuthTimeout: 5 * time.Second, AuthWaiting: 4096, JWTRefresh: 5 * time.Minute, JWTLeeway: 30 * time.Second,
		JWTClaimPrincipal: "sub", JWTClaimGroups: "groups", JWTClaimPriority: "priority", JWTClaimMessages: "rate_messages", JWTClaimBytes: "rate_bytes",
		WebhookTimeout: 2 * time.Second, WebhookConcurrency: 64, WebhookRemember: 5 * time.Second,
		DrainWindow: 10 * time.Second, FDTables: FDTablesAuto, MailboxMessages: 65536, MailboxBytes: 16 << 20,
		GOGC: 50, MemoryLimit: MemoryLimit{Percent: 50},
		MemoryBudget: MemoryLimit{Percent: 80}, ShedRate: 500, LogFormat: LogText, LogLevel: LogInfo,
		TraceSample: 0.01, TraceLimit: 100,
		Rules: Rules{Priority: PriorityHigh, RateBurst: 2 * time.Second, RatePolicy: RateClose, Events: true, DedupWindow: 2 * time.Minute, Bus: BusAuto, BroadcastRate: 10},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestPrecedence(t *testing.T) {
	file := "max-conns: 1\nheartbeat: 11s\nnode: from-file\n"
	env := []string{"LIMPET_MAX_CONNS=2", "LIMPET_HEARTBEAT=12s", "PATH=/bin"}
	args := []string{"--max-conns=3"}
	got := mustLoad(t, args, env, file)
	if got.MaxConns != 3 || got.Heartbeat != 12*time.Second || got.Node != "from-file" || got.LogLevel != LogInfo {
		t.Errorf("max-conns %d, heartbeat %v, node %q, log-level %q; want 3 (flag), 12s (environment), from-file (file), info (default)",
			got.MaxConns, got.Heartbeat, got.Node, got.LogLevel)
	}
	for key, want := range map[string]string{
		"max-conns": "flag --max-conns", "heartbeat": "environment LIMPET_HEARTBEAT", "log-level": "default",
	} {
		if origin := got.origins[key].String(); origin != want {
			t.Errorf("%s comes from %q, want %q", key, origin, want)
		}
	}
	if origin := got.origins["node"].String(); !strings.HasSuffix(origin, "limpet.yaml:3") {
		t.Errorf("node comes from %q, want line 3 of the file", origin)
	}
}

func TestFileFromEnvironment(t *testing.T) {
	weak, strong := writeFile(t, "max-conns: 1"), writeFile(t, "max-conns: 2")
	if got := mustLoad(t, nil, []string{"LIMPET_CONFIG=" + weak}, ""); got.MaxConns != 1 {
		t.Errorf("max-conns = %d, want 1 from the file that LIMPET_CONFIG names", got.MaxConns)
	}
	if got := mustLoad(t, []string{"--config", strong}, []string{"LIMPET_CONFIG=" + weak}, ""); got.MaxConns != 2 {
		t.Errorf("max-conns = %d, want 2 from the file that --config names", got.MaxConns)
	}
	if got := mustLoad(t, []string{"--config", ""}, []string{"LIMPET_CONFIG=" + weak}, ""); got.MaxConns != 0 {
		t.Errorf("max-conns = %d, want the default: an empty --config is no file", got.MaxConns)
	}
}

func TestLists(t *testing.T) {
	want := []string{"a:1", "b:2"}
	for name, got := range map[string]*Loaded{
		"flag":          mustLoad(t, []string{"--kafka", "a:1,b:2"}, nil, ""),
		"flag twice":    mustLoad(t, []string{"--kafka", "a:1", "--kafka", "b:2"}, nil, ""),
		"environment":   mustLoad(t, nil, []string{"LIMPET_KAFKA=a:1, b:2"}, ""),
		"file text":     mustLoad(t, nil, nil, "kafka: a:1,b:2"),
		"file sequence": mustLoad(t, nil, nil, "kafka: [a:1, 'b:2']"),
		"file alias":    mustLoad(t, nil, nil, "kafka: &k\n  - a:1\n  - b:2\n"),
	} {
		if diff := cmp.Diff(want, got.Kafka); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := mustLoad(t, []string{"--kafka="}, []string{"LIMPET_KAFKA=a:1"}, ""); got.Kafka != nil {
		t.Errorf("kafka = %q, want none: an empty flag wins over the environment", got.Kafka)
	}
}

// Scalars stay what was written, whatever YAML would make of them.
func TestFileScalarsStayText(t *testing.T) {
	got := mustLoad(t, nil, nil, "node: 007\ntopic-prefix: 1e3\nmax-message-size: 4096\n")
	if got.Node != "007" || got.TopicPrefix != "1e3" || got.MaxMessageSize != 4096 {
		t.Errorf("node %q, topic-prefix %q, max-message-size %d", got.Node, got.TopicPrefix, got.MaxMessageSize)
	}
}

// One run shows every fault of every source, also of values that a stronger
// source overrides.
func TestAllFaultsAtOnce(t *testing.T) {
	got := faultsOf(t,
		[]string{"--listen", "localhost", "--max-message-size", "64k", "--uplink=pigeon", "--node", "-x"},
		[]string{"LIMPET_HARTBEAT=1s", "LIMPET_DEFLATE=yes", "LIMPET_LISTEN=nowhere"},
		"# limits\nmax-conns: many\n\nmax-con: 7\nmax-conns: 3\nheartbeat: {after: 1s}\nloops: [1, 2]\ndata-dir:\n")
	want := []string{
		`max-con = "(hidden)" (limpet.yaml:4): unknown key; did you mean max-conns?`,
		`max-conns = "3" (limpet.yaml:5): given twice, first in limpet.yaml:2`,
		`heartbeat = "" (limpet.yaml:6): want a plain value, this is a mapping`,
		`loops = "" (limpet.yaml:7): want one value, this is a list`,
		`data-dir = "" (limpet.yaml:8): has no value; write "" for an empty one`,
		`LIMPET_HARTBEAT = "(hidden)" (environment LIMPET_HARTBEAT): unknown variable; did you mean LIMPET_HEARTBEAT?`,
		`max-conns = "many" (limpet.yaml:2): want a whole number from 0 to 16777216`,
		`listen = "nowhere" (environment LIMPET_LISTEN): want HOST:PORT with a port from 0 to 65535, as 127.0.0.1:8080, [::1]:8080 or :8080`,
		`deflate = "yes" (environment LIMPET_DEFLATE): want true or false`,
		`listen = "localhost" (flag --listen): want HOST:PORT with a port from 0 to 65535, as 127.0.0.1:8080, [::1]:8080 or :8080`,
		`node = "-x" (flag --node): want 1 to 63 letters, digits, dots, hyphens and underscores, a letter or digit at both ends`,
		`uplink = "pigeon" (flag --uplink): want one of kafka, echo, discard`,
		`max-message-size = "64k" (flag --max-message-size): want a size from 128B to 64MiB, in B, KiB, MiB or GiB`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestFileFaults(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"syntax":        {"a: b: c", "limpet.yaml: mapping values are not allowed in this context"},
		"sequence":      {"- listen", `limpet.yaml: want a mapping of keys to values, as "listen: 127.0.0.1:8080"`},
		"two documents": {"loops: 1\n---\nloops: 2", "limpet.yaml: want one YAML document, there is more than one"},
		"nested list":   {"kafka: [[a:1]]", `kafka = "" (limpet.yaml:1): want a list of plain values`},
		"config":        {"config: other.yaml", `config = "(hidden)" (limpet.yaml:1): unknown key`},
		"no plain key":  {"\"a\\n\\e[1m\": x", `"a\n\x1b[1m" = "(hidden)" (limpet.yaml:1): unknown key`},
		"too large":     {"# " + strings.Repeat("x", inputfile.MaxBytes), "limpet.yaml: cannot read it: larger than 1MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff([]string{c.want}, faultsOf(t, nil, nil, c.text)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		got := faultsOf(t, []string{"--config", "/does/not/exist"}, nil, "")
		if diff := cmp.Diff([]string{"/does/not/exist: cannot read it: no such file or directory"}, got); diff != "" {
			t.Errorf("faults (-want +got):\n%s", diff)
		}
	})
	t.Run("only comments", func(t *testing.T) {
		mustLoad(t, nil, nil, "# nothing yet\n")
	})
}

// What Kubernetes puts into a pod for Services named limpet and limpet-api is
// not ours; and no key may be taken for it.
func TestServiceLinks(t *testing.T) {
	mustLoad(t, nil, []string{
		"LIMPET_SERVICE_HOST=10.0.0.1", "LIMPET_SERVICE_PORT=8080", "LIMPET_SERVICE_PORT_HTTP=8080",
		"LIMPET_PORT=tcp://10.0.0.1:8080", "LIMPET_PORT_8080_TCP=tcp://10.0.0.1:8080",
		"LIMPET_PORT_8080_TCP_PROTO=tcp", "LIMPET_PORT_8080_TCP_PORT=8080", "LIMPET_PORT_8080_TCP_ADDR=10.0.0.1",
		"LIMPET_API_SERVICE_HOST=10.0.0.2", "LIMPET_API_PORT=tcp://10.0.0.2:8081", "LIMPET_API_PORT_8081_TCP_ADDR=10.0.0.2",
	}, "")
	for _, key := range Keys() {
		if name := envName(key.Name); serviceLink.MatchString(name) {
			t.Errorf("%s cannot be set: %s looks like a variable of Kubernetes", key.Name, name)
		}
	}
}

func TestDisagreements(t *testing.T) {
	const open = "nobody has to authenticate, so only loopback is allowed; use 127.0.0.1, set auth, or accept the risk with insecure-no-auth"
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"not loopback": {[]string{"--listen", ":8080", "--api", "10.1.2.3:8081"}, []string{
			`listen = ":8080" (flag --listen): ` + open, `api = "10.1.2.3:8081" (flag --api): ` + strings.Replace(open, "set auth", "set api-token", 1)}},
		"a name might be any address": {[]string{"--listen", "gateway:8080"}, []string{`listen = "gateway:8080" (flag --listen): ` + open}},
		"same address":                {[]string{"--api", "127.0.0.1:8080"}, []string{`api = "127.0.0.1:8080" (flag --api): is the same address as listen`}},
		"message above outbound": {[]string{"--max-message-size", "1MiB"}, []string{
			`outbound-limit = "256KiB" (default): want at least max-message-size and 10 bytes of frame header, 1048586B: a client could never be sent what it may send`}},
		"message above mailbox": {[]string{"--max-message-size", "32MiB", "--outbound-limit", "64MiB", "--uplink-buffer", "1GiB"}, []string{
			`mailbox-bytes = "16MiB" (default): want at least max-message-size, 32MiB`}},
		"message above uplink": {[]string{"--uplink-buffer", "1MiB"}, []string{
			`uplink-buffer = "1MiB" (flag --uplink-buffer): want at least 32 times max-message-size, 2MiB`}},
		"bus without redis": {[]string{"--bus=redis"}, []string{`bus = "redis" (flag --bus): redis needs redis, the URL`}},
		"bus without kafka": {[]string{"--bus=kafka", "--uplink=echo"}, []string{`bus = "kafka" (flag --bus): kafka needs uplink kafka`}},
		"silent about keys with a fault": {[]string{"--listen", ":8080", "--insecure-no-auth=maybe"}, []string{
			`insecure-no-auth = "maybe" (flag --insecure-no-auth): want true or false`}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, faultsOf(t, c.args, nil, "")); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
	for _, args := range [][]string{
		{"--api", "10.1.2.3:8081", "--api-token", "0123456789abcdef"},
		{"--listen", "[::1]:8080", "--api", "localhost:8081"},
		{"--bus=redis", "--uplink=echo", "--redis=redis://localhost:6379"},
		{"--listen", "127.8.9.1:0", "--api", "127.8.9.1:0"},
		{"--listen", ":8080", "--api", "10.1.2.3:8081", "--insecure-no-auth"},
	} {
		if _, err := load(t, args, nil, ""); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestBusInUse(t *testing.T) {
	brokers, redis := []string{"10.0.0.1:9092"}, "redis://10.0.0.1:6379"
	for _, c := range []struct {
		bus    Bus
		uplink Uplink
		kafka  []string
		redis  string
		want   Bus
	}{
		{BusAuto, UplinkKafka, nil, "", BusLocal}, // the embedded broker
		{BusAuto, UplinkKafka, brokers, "", BusKafka},
		{BusAuto, UplinkKafka, brokers, redis, BusKafka},
		{BusAuto, UplinkKafka, nil, redis, BusRedis},
		{BusAuto, UplinkEcho, brokers, "", BusLocal},
		{BusAuto, UplinkEcho, nil, redis, BusRedis},
		{BusKafka, UplinkKafka, nil, "", BusKafka},
		{BusLocal, UplinkKafka, brokers, redis, BusLocal},
	} {
		var s Serve
		s.Bus, s.Uplink, s.Kafka, s.Redis = c.bus, c.uplink, c.kafka, c.redis
		if got := s.BusInUse(); got != c.want {
			t.Errorf("bus %s, uplink %s, kafka %v, redis %q: %s, want %s", c.bus, c.uplink, c.kafka, c.redis, got, c.want)
		}
	}
}
