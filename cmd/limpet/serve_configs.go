package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/embedded"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/gateway"
	"github.com/limpet-gateway/limpet/internal/memory"
	"github.com/limpet-gateway/limpet/internal/proxyheader"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/wsproto"
)

// These functions hand each package its part of the configuration.

func memoryConfig(c *config.Serve) memory.Config {
	return memory.Config{
		GOGC: c.GOGC, Bytes: c.MemoryLimit.Bytes, Percent: c.MemoryLimit.Percent,
		BudgetBytes: c.MemoryBudget.Bytes, BudgetPercent: c.MemoryBudget.Percent,
	}
}

// reactorConfig panics on an FDTables that config should not have let through.
func reactorConfig(c *config.Serve, incarnation uint64, log *slog.Logger) reactor.Config {
	tables, ok := map[config.FDTables]reactor.FDTables{
		config.FDTablesAuto:    reactor.AutoTables,
		config.FDTablesShared:  reactor.SharedTable,
		config.FDTablesPerLoop: reactor.PerLoopTables,
	}[c.FDTables]
	if !ok {
		panic("limpet: unknown fd-tables " + c.FDTables)
	}
	return reactor.Config{
		Addr:             c.Listen,
		Incarnation:      incarnation,
		Upgrader:         wsproto.Upgrader{Subprotocols: c.Subprotocols, Deflate: c.Deflate},
		Decoder:          wsproto.DecoderConfig{MaxMessageSize: c.MaxMessageSize, MaxFragments: c.MaxFragments},
		Deflater:         wsproto.DeflaterConfig{MinSize: c.DeflateMinSize},
		Loops:            c.Loops,
		FDTables:         tables,
		ExtraDescriptors: extraDescriptors(c),
		MaxUndecided:     c.AuthWaiting,
		MailboxItems:     c.MailboxMessages,
		MailboxBytes:     c.MailboxBytes,
		Tuning:           tuning(c),
		Log:              log,
	}
}

// trustedProxies returns what reads the headers of load balancers.
func trustedProxies(c *config.Serve) (*proxyheader.Trusted, error) {
	networks, err := proxyheader.ParseNetworks(c.ProxyTrusted)
	if err != nil {
		return nil, fmt.Errorf("proxy-trusted: %w", err)
	}
	return proxyheader.NewTrusted(networks), nil
}

// extraDescriptors is what a node may hold beyond the usual: its calls to a
// webhook.
func extraDescriptors(c *config.Serve) int {
	if c.WebhookURL == "" {
		return 0
	}
	return c.WebhookConcurrency
}

func registryConfig(c *config.Serve, incarnation uint64) registry.Config {
	return registry.Config{
		Incarnation:     incarnation,
		MaxPerPrincipal: c.SessionsPerPrincipal,
		MaxGroups:       c.GroupsPerSession,
	}
}

func topicSpecs(c *config.Serve) []bridge.TopicSpec {
	return bridge.NewTopics(c.TopicPrefix).Specs(int32(c.TopicPartitions), int32(c.InboxPartitions))
}

func brokerConfig(c *config.Serve, descriptors int, log *slog.Logger) embedded.Config {
	broker := embedded.Config{
		Addr:        c.BrokerListen,
		DataDir:     c.DataDir,
		MaxBytes:    c.BrokerSize,
		Retention:   c.BrokerRetention,
		Descriptors: descriptors,
		Logger:      log,
	}
	for _, topic := range topicSpecs(c) {
		broker.Topics = append(broker.Topics, embedded.Topic{Name: topic.Name, Partitions: topic.Partitions, Weight: topic.Weight})
	}
	return broker
}

// kafkaConfig takes the brokers apart from c: those of the embedded broker
// are known once it runs.
func kafkaConfig(c *config.Serve, brokers []string, log *slog.Logger) bridge.Kafka {
	return bridge.Kafka{Brokers: brokers, ClientID: "limpet-" + c.Node, Logger: log}
}

func uplinkConfig(c *config.Serve, kafka bridge.Kafka) (bridge.UplinkConfig, error) {
	compression, err := bridge.ParseCompression(string(c.Compression))
	return bridge.UplinkConfig{
		Kafka:           kafka,
		Topics:          bridge.NewTopics(c.TopicPrefix),
		Node:            c.Node,
		Workers:         c.UplinkWorkers,
		QueueLength:     c.UplinkQueue,
		BufferedBytes:   c.UplinkBuffer,
		MaxMessageBytes: c.MaxMessageSize,
		Partitions:      int32(c.TopicPartitions),
		InboxPartitions: int32(c.InboxPartitions),
		KeepTopics:      !c.CreateTopics,
		ProduceTimeout:  c.ProduceTimeout,
		Linger:          linger(c),
		Compression:     compression,
	}, err
}

// linger is that of the uplink, where zero means a default and a negative
// value none.
func linger(c *config.Serve) time.Duration {
	if c.Linger == 0 {
		return -1
	}
	return c.Linger
}

func downlinkConfig(c *config.Serve, kafka bridge.Kafka, router *bridge.Router) bridge.DownlinkConfig {
	return bridge.DownlinkConfig{
		Kafka:        kafka,
		Topics:       bridge.NewTopics(c.TopicPrefix),
		Router:       router,
		Group:        c.ConsumerGroup,
		GroupTimeout: c.GroupTimeout,
	}
}

// routerConfig is that of a node that is alone; events may be nil.
func routerConfig(c *config.Serve, incarnation uint64, node *gateway.Gateway, events gateway.Events, log *slog.Logger) bridge.RouterConfig {
	router := bridge.RouterConfig{Incarnation: incarnation, Local: node, Controller: node, DedupWindow: c.DedupWindow, Logger: log}
	if c.DedupWindow == 0 {
		router.DedupWindow = -1
	}
	if c.ReportUndelivered && events != nil {
		router.OnUndelivered = gateway.ReportUndelivered(events)
	}
	return router
}

func rateLimits(c *config.Serve) bridge.RateLimits {
	return bridge.RateLimits{Messages: c.RateMessages, Bytes: c.RateBytes, Burst: c.RateBurst}
}

// messageRules fails for what only the bridge's own parser finds in the rules.
func messageRules(c *config.Serve) (gateway.Rules, error) {
	rules := gateway.Rules{DropOverRate: c.RatePolicy == config.RateDrop}
	var err error
	if rules.Priority, err = session.ParsePriority(string(c.Priority)); err != nil {
		return rules, err
	}
	rules.Content, err = bridge.ParsePriorityRules(c.PriorityRules)
	return rules, err
}

// tuning is what can change of reactorConfig while the engine runs.
func tuning(c *config.Serve) reactor.Tuning {
	return reactor.Tuning{
		MaxConns:         c.MaxConns,
		Heartbeat:        c.Heartbeat,
		HeartbeatGrace:   c.HeartbeatGrace,
		HandshakeTimeout: c.HandshakeTimeout,
		MessageTimeout:   c.MessageTimeout,
		CloseTimeout:     c.CloseTimeout,
		LingerTimeout:    c.LingerTimeout,
		RetryAfter:       c.RetryAfter,
		DecisionTimeout:  c.AuthTimeout,
		OutboundLimit:    c.OutboundLimit,
		ControlRate:      c.ControlRate,
	}
}

func apiConfig(c *config.Serve) api.V1Config {
	return api.V1Config{Token: c.APIToken, BroadcastRate: c.BroadcastRate}
}
