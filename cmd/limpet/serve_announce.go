package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/limpet-gateway/limpet/internal/config"
)

// announce says in a few lines what the node listens on and where messages go:
// for people as text, for machines as one record.
func (n *node) announce(w io.Writer) {
	limits := n.engine.Limits()
	if n.cfg.LogFormat == config.LogJSON {
		n.log.Info("serving",
			"node", n.cfg.Node, "version", versionText(), "listen", n.engine.Addr().String(), "api", n.api.Addr(),
			"uplink", string(n.cfg.Uplink), "kafka", n.kafka.Brokers, "embedded", n.broker != nil, "bus", string(n.cfg.BusInUse()),
			"max_conns", limits.MaxConns, "loops", limits.Loops, "fd_table_per_loop", limits.PerLoopTables)
		return
	}
	tables := "one descriptor table"
	if limits.PerLoopTables {
		tables = "a descriptor table per loop"
	}
	fmt.Fprintf(w, "limpet %s, node %s\n", versionText(), n.cfg.Node)
	fmt.Fprintf(w, "  clients   ws://%s/ws, up to %d connections (%d loops, %s)\n", n.engine.Addr(), limits.MaxConns, limits.Loops, tables)
	fmt.Fprintf(w, "  api       http://%s\n", n.api.Addr())
	fmt.Fprintf(w, "  messages  %s\n", n.destination())
	if way := n.wayToOthers(); way != "" {
		fmt.Fprintf(w, "  nodes     %s\n", way)
	}
}

// wayToOthers is empty on a node that is alone.
func (n *node) wayToOthers() string {
	switch n.cfg.BusInUse() {
	case config.BusKafka:
		if n.directory == nil {
			return "pushes go to all of them through Kafka topic " + n.cfg.TopicPrefix + "broadcast (no redis)"
		}
		return "a push goes to the one that has its session through Kafka topic " + n.cfg.TopicPrefix + "inbox"
	case config.BusRedis:
		return "a push goes to the one that has its session through Redis Pub/Sub, at most once"
	default:
		return ""
	}
}

func (n *node) destination() string {
	switch {
	case n.cfg.Uplink == config.UplinkEcho:
		return "each goes back to its sender (echo)"
	case n.cfg.Uplink == config.UplinkDiscard:
		return "each is dropped (discard)"
	}
	topic := "to Kafka topic " + n.cfg.TopicPrefix + "uplink at " + strings.Join(n.kafka.Brokers, ",")
	switch {
	case n.broker == nil:
		return topic
	case n.cfg.DataDir == "":
		return topic + " (embedded, in memory)"
	default:
		return topic + " (embedded, kept in " + n.cfg.DataDir + ")"
	}
}
