package main

import (
	"fmt"
	"log/slog"
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
	broker := brokerConfig(c, log)
	if err := broker.Validate(); err != nil {
		t.Errorf("embedded broker: %v", err)
	}
	if len(c.Kafka) != 0 {
		if err := uplink.Validate(); err != nil {
			t.Errorf("uplink: %v", err)
		}
	}
	uplink.Kafka, uplink.OnRejected, broker.Logger, kafka.Logger = bridge.Kafka{}, nil, nil, nil
	downlink := downlinkConfig(c, bridge.Kafka{}, nil)
	return fmt.Sprintf("%+v\n%+v\n%+v\n%+v\n%+v\n", memoryConfig(c), kafka, broker, uplink, downlink)
}

// A key that no package gets has no effect, and nobody would notice.
func TestEveryKeyIsHandedOut(t *testing.T) {
	base := []string{"--kafka=10.0.0.1:9092", "--node=gw-1"}
	before := handedOut(t, loadArgs(t, base...))
	for key, value := range map[string]string{
		"node": "gw-2", "kafka": "10.0.0.2:9092", "topic-prefix": "test.", "create-topics": "false", "topic-partitions": "3",
		"inbox-partitions": "5", "consumer-group": "limpets", "group-timeout": "7s", "produce-timeout": "3s", "linger": "0s",
		"compression": "zstd", "uplink-workers": "7", "uplink-queue": "99", "uplink-buffer": "99MiB", "max-message-size": "32KiB",
		"broker-listen": "127.0.0.1:9092", "data-dir": "/var/lib/limpet", "broker-size": "99MiB", "broker-retention": "1h",
		"gogc": "77", "memory-limit": "77MiB",
	} {
		args := append(base[:len(base):len(base)], "--"+key+"="+value)
		if handedOut(t, loadArgs(t, args...)) == before {
			t.Errorf("--%s=%s changes nothing", key, value)
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
