package main

import (
	"context"
	"time"
)

// How often Kafka is asked whether it answers, and how long it may take. A node
// without Kafka goes on: it serves its sessions and keeps what they send as
// long as there is room.
const (
	kafkaAskEvery = 2 * time.Second
	kafkaAnswer   = 2 * time.Second
)

// watchKafka reports to /readyz whether Kafka answers, until ctx ends.
func (n *node) watchKafka(ctx context.Context) {
	lost := false
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
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !lost:
			lost = true
			n.ready.Degrade("kafka", "does not answer: messages wait in memory, and are refused by priority when there is no more room")
			n.log.Warn("Kafka does not answer", "err", err)
		case err == nil && lost:
			lost = false
			n.ready.Restore("kafka")
			n.log.Info("Kafka answers again")
		}
	}
}
