package main

import (
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/config"
)

// loadArgs returns the configuration of a command line.
func loadArgs(t *testing.T, args ...string) *config.Serve {
	t.Helper()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	loaded, err := config.Load(flags, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &loaded.Serve
}

// handedOut is all that the packages get of c, as text.
func handedOut(t *testing.T, c *config.Serve) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	kafka := kafkaConfig(c, c.Kafka, log)
	uplink, err := uplinkConfig(c, kafka)
	if err != nil {
		t.Fatal(err)
	}
	broker := brokerConfig(c, 0, log)
	if err := broker.Validate(); err != nil {
		t.Errorf("embedded broker: %v", err)
	}
	if len(c.Kafka) != 0 {
		if err := uplink.Validate(); err != nil {
			t.Errorf("uplink: %v", err)
		}
	}
	uplink.Kafka, uplink.OnRejected, broker.Logger, kafka.Logger = bridge.Kafka{}, nil, nil, nil
	engine := reactorConfig(c, 1, nil)
	if err := engine.Validate(); err != nil {
		t.Errorf("reactor: %v", err)
	}
	table := registryConfig(c, 1)
	if err := table.Validate(); err != nil {
		t.Errorf("registry: %v", err)
	}
	downlink := downlinkConfig(c, bridge.Kafka{}, nil)
	router := routerConfig(c, 1, nil, func(bridge.Event) bridge.Verdict { return bridge.Accepted }, nil)
	undelivered := router.OnUndelivered != nil
	router.Local, router.Controller, router.OnUndelivered = nil, nil, nil
	rules, err := messageRules(c)
	if err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("%+v\n%+v\n%+v\n%+v %+v\n", directoryConfig(c, nil), authConfig(c, nil, nil, nil), admissionLimits(c), exporterConfig(c, nil), tracerConfig(c)) + fmt.Sprintf("%+v %v %+v %+v\n", router, undelivered, rateLimits(c), rules) +
		fmt.Sprintf("%+v\n%+v\n%+v\n%+v\n%+v\n%+v\n%+v\n", memoryConfig(c), engine, table, kafka, broker, uplink, downlink)
}

// servesItself lists the keys that serve uses itself, for what no package's
// configuration has a part in.
var servesItself = map[string]bool{
	"api": true, "uplink": true, "flush-timeout": true, "drain-window": true, "log-format": true, "events": true, "bus": true, "broadcast-rate": true, "api-token": true, "log-level": true, "insecure-no-auth": true,
	"auth": true, "origins": true, "proxy-trusted": true, "shed-rate": true,
}

// otherValues has for each key one that is not its default.
var otherValues = map[string]string{
	"sessions-per-principal": "9", "groups-per-session": "9", "listen": "127.0.0.1:9999", "max-conns": "9", "max-fragments": "9", "subprotocols": "v1", "deflate": "false", "deflate-min-size": "9B",
	"control-rate": "9", "retry-after": "9s", "outbound-limit": "9MiB", "heartbeat": "9s", "heartbeat-grace": "9s", "handshake-timeout": "9s",
	"message-timeout": "9s", "close-timeout": "9s", "linger-timeout": "9s", "loops": "9", "fd-tables": "per-loop",
	"mailbox-messages": "99", "mailbox-bytes": "9MiB",
	"node": "gw-2", "kafka": "10.0.0.2:9092", "topic-prefix": "test.", "create-topics": "false", "topic-partitions": "3",
	"inbox-partitions": "5", "consumer-group": "limpets", "group-timeout": "7s", "produce-timeout": "3s", "linger": "0s",
	"compression": "zstd", "uplink-workers": "7", "uplink-queue": "99", "uplink-buffer": "99MiB", "max-message-size": "32KiB",
	"broker-listen": "127.0.0.1:9092", "data-dir": "/var/lib/limpet", "broker-size": "99MiB", "broker-retention": "1h",
	"priority": "low", "priority-rules": "json:p", "rate-messages": "9", "rate-bytes": "9KiB", "rate-burst": "9s", "rate-policy": "drop",
	"report-undelivered": "true", "dedup-window": "9s",
	"redis": "redis://h:1", "redis-expect": "9", "redis-lease": "9s", "redis-timeout": "90ms", "redis-queue": "9999", "redis-reregister": "999",
	"accept-rate": "9", "conns-per-ip": "9", "rate-per-ip": "9", "burst-per-ip": "9", "auth-timeout": "9s", "auth-waiting": "99", "jwt-secret": "ffffffffffffffffffffffffffffffff", "jwt-secret-old": "ffffffffffffffffffffffffffffffff", "jwt-keys": "a.pem", "jwt-jwks": "http://a/",
	"jwt-refresh": "9s", "jwt-issuer": "i", "jwt-audience": "a", "jwt-leeway": "9s", "jwt-claim-principal": "p", "jwt-claim-groups": "g",
	"jwt-claim-tenant": "t", "jwt-claim-priority": "x", "jwt-claim-messages": "m", "jwt-claim-bytes": "b", "webhook-url": "http://b/",
	"webhook-timeout": "1s", "webhook-concurrency": "9", "webhook-remember": "9s", "webhook-fail-open": "true",
	"trace-endpoint": "http://127.0.0.1:4318", "trace-sample": "0.5", "trace-limit": "9", "trace-principals": "true",
	"gogc": "77", "memory-limit": "77MiB", "memory-budget": "77MiB",
}

// A key that no package gets has no effect, and nobody would notice.
func TestEveryKeyIsHandedOut(t *testing.T) {
	base := []string{"--kafka=10.0.0.1:9092", "--node=gw-1", "--auth=jwt,webhook", "--jwt-secret=0123456789abcdef0123456789abcdef", "--webhook-url=http://10.0.0.1/"}
	before := handedOut(t, loadArgs(t, base...))
	for _, key := range config.Keys() {
		if servesItself[key.Name] {
			continue
		}
		value, ok := otherValues[key.Name]
		if !ok {
			t.Errorf("no value to try for --%s", key.Name)
			continue
		}
		args := append(base[:len(base):len(base)], "--"+key.Name+"="+value)
		if handedOut(t, loadArgs(t, args...)) == before {
			t.Errorf("--%s=%s changes nothing", key.Name, value)
		}
	}
}

func TestLinger(t *testing.T) {
	for text, want := range map[string]time.Duration{"0s": -1, "3ms": 3 * time.Millisecond} {
		uplink, err := uplinkConfig(loadArgs(t, "--linger", text), bridge.Kafka{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, uplink.Linger); diff != "" {
			t.Errorf("--linger %s (-want +got):\n%s", text, diff)
		}
	}
}

// What a reload hands to the engine is what a start with the same configuration
// does: a live key that Tune does not get would silently wait for a restart.
func TestTuningIsThatOfTheStart(t *testing.T) {
	c := loadArgs(t, "--max-conns=9", "--control-rate=9", "--retry-after=9s", "--outbound-limit=9MiB", "--heartbeat=8s", "--heartbeat-grace=7s",
		"--handshake-timeout=6s", "--message-timeout=5s", "--close-timeout=4s", "--linger-timeout=3s", "--auth-timeout=2s")
	tuned, started := reflect.ValueOf(tuning(c)), reflect.ValueOf(reactorConfig(c, 1, nil))
	for i := range tuned.NumField() {
		name := tuned.Type().Field(i).Name
		if got, want := tuned.Field(i).Interface(), started.FieldByName(name).Interface(); got != want || tuned.Field(i).IsZero() {
			t.Errorf("%s: a reload gives %v, a start %v", name, got, want)
		}
	}
}

// reloadServesItself lists the live keys that a reload hands to no package.
var reloadServesItself = map[string]bool{"flush-timeout": true, "drain-window": true, "log-level": true}

// A key that is said to be live and that a reload hands to nobody would change
// nothing, and its answer would say otherwise.
func TestEveryLiveKeyIsApplied(t *testing.T) {
	base := []string{"--auth=jwt,webhook", "--jwt-secret=0123456789abcdef0123456789abcdef", "--webhook-url=http://10.0.0.1/"}
	applied := func(args ...string) string {
		c := loadArgs(t, append(base[:len(base):len(base)], args...)...)
		rules, err := messageRules(c)
		if err != nil {
			t.Fatal(err)
		}
		traced := tracerConfig(c)
		return fmt.Sprintf("%+v %+v %+v %+v %+v %+v %+v %+v %+v %v %v", tuning(c), jwtConfig(c), webhookConfig(c), admissionLimits(c), rateLimits(c), rules, c.Origins, c.ProxyTrusted, apiConfig(c), traced.Ratio, traced.PerSecond)
	}
	before := applied()
	for _, key := range config.Keys() {
		if !key.Live || reloadServesItself[key.Name] {
			continue
		}
		value, ok := otherValues[key.Name]
		if !ok {
			value = map[string]string{"broadcast-rate": "9", "api-token": "0123456789abcdef", "origins": "*", "proxy-trusted": "10.0.0.0/8"}[key.Name]
		}
		if applied("--"+key.Name+"="+value) == before {
			t.Errorf("--%s=%s is live, and nothing is handed out for it", key.Name, value)
		}
	}
}
