package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// How often Kafka is asked whether it answers, and how long it may take.
const (
	healthEvery  = 2 * time.Second
	healthAnswer = 2 * time.Second
)

// Watch looks every two seconds whether Kafka answers and takes records, until
// ctx ends. changed is told of every change in words for people, empty when all
// is well again; it is called on Watch's goroutine. A node without Kafka goes on:
// it serves its sessions and keeps what they send as long as there is room.
func (u *Uplink) Watch(ctx context.Context, changed func(trouble string)) {
	var h health
	log := u.cfg.Kafka.logger()
	for ticker := time.NewTicker(healthEvery); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return
		case <-ticker.C:
		}
		asked, cancel := context.WithTimeout(ctx, healthAnswer)
		err := u.Ping(asked)
		if err == nil {
			err = u.keepTopics(asked)
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		before := h.trouble
		switch now := h.look(err, u.Stats()); {
		case now == before:
		case now == "":
			log.Info("Kafka answers again")
			changed("")
		default:
			log.Warn("Kafka "+now, "err", err)
			if errors.Is(err, errTopicsGone) {
				changed(err.Error())
			} else {
				changed(now + ": messages wait in memory, and are refused by priority when there is no more room")
			}
		}
	}
}

// keepTopics makes the topics anew that somebody has deleted, or says which they
// are: where nothing is written, nothing fails for want of them.
func (u *Uplink) keepTopics(ctx context.Context) error {
	specs := u.cfg.Topics.Specs(u.cfg.Partitions, u.cfg.InboxPartitions)
	missing, err := missingTopics(ctx, u.client.Load(), specs)
	if err != nil || len(missing) == 0 {
		return err
	}
	names := strings.Join(missing, ", ")
	if u.cfg.KeepTopics {
		return fmt.Errorf("%w: %s", errTopicsGone, names)
	}
	if err := ensureTopics(ctx, u.client.Load(), specs); err != nil {
		return fmt.Errorf("%w: %s: %w", errTopicsGone, names, err)
	}
	u.cfg.Kafka.logger().Warn("topics were gone and have been created again; what was in them is lost", "topics", names)
	return nil
}

var errTopicsGone = errors.New("topics are gone")

// health judges Kafka from one look to the next.
type health struct {
	trouble        string // what is wrong, in words; empty: nothing
	acked, retried uint64
}

// look returns what is wrong now. pinged is how Kafka answered. One that answers
// and fails what is written to it, for a full disk or a topic that is gone and
// may not be created, is in trouble until it takes a record, or none is left.
func (h *health) look(pinged error, s UplinkStats) string {
	const fails = "fails what is written to it"
	taken := s.Acked > h.acked || s.Outstanding == 0
	switch {
	case errors.Is(pinged, errTopicsGone):
		h.trouble = "lacks topics"
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
