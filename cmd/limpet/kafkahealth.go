package main

import (
	"context"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
)

// How often Kafka is asked whether it answers, and how long it may take. A node
// without Kafka goes on: it serves its sessions and keeps what they send as
// long as there is room.
const (
	kafkaAskEvery = 2 * time.Second
	kafkaAnswer   = 2 * time.Second
)

// watchKafka reports to /readyz whether Kafka answers and takes records, until
// ctx ends.
func (n *node) watchKafka(ctx context.Context) {
	var health kafkaHealth
	for ticker := time.NewTicker(kafkaAskEvery); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return
		case <-ticker.C:
		}
		asked, cancel := context.WithTimeout(ctx, kafkaAnswer)
		err := n.uplink.Ping(asked)
		cancel()
		if ctx.Err() != nil {
			return
		}
		before := health.trouble
		switch now := health.look(err, n.uplink.Stats()); {
		case now == before:
		case now == "":
			n.ready.Restore("kafka")
			n.log.Info("Kafka answers again")
		default:
			n.ready.Degrade("kafka", now+": messages wait in memory, and are refused by priority when there is no more room")
			n.log.Warn("Kafka "+now, "err", err)
		}
	}
}

// kafkaHealth judges Kafka from one look to the next.
type kafkaHealth struct {
	trouble        string // what is wrong, in words; empty: nothing
	acked, retried uint64
}

// look returns what is wrong now. pinged is how Kafka answered. One that answers
// and fails what is written to it, for a full disk or a topic that is gone and
// may not be created, is in trouble until it takes a record, or none is left.
func (h *kafkaHealth) look(pinged error, s bridge.UplinkStats) string {
	const fails = "fails what is written to it"
	taken := s.Acked > h.acked || s.Outstanding == 0
	switch {
	case pinged != nil:
		h.trouble = "does not answer"
	case taken:
		h.trouble = ""
	case s.Retried > h.retried:
		h.trouble = fails
	case h.trouble != fails:
		h.trouble = ""
	}
	h.acked, h.retried = s.Acked, s.Retried
	return h.trouble
}
