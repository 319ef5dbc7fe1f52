package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// leave drains the node after a first signal: clients are sent away over the
// drain window, then everything that was accepted from them reaches Kafka. A
// second signal ends the process at once.
func (n *node) leave(first os.Signal, signals <-chan os.Signal) error {
	n.log.Info("draining", "signal", first.String(), "sessions", n.engine.Sessions(), "window", n.live().DrainWindow)
	n.ready.Drain()
	drained := make(chan error, 1)
	go func() { drained <- n.drain() }()
	begun := time.Now()
	for {
		select {
		case err := <-drained:
			if err == nil {
				n.log.Info("drained")
			}
			return err
		case s := <-signals:
			if time.Since(begun) < sameSignal {
				continue
			}
			return fmt.Errorf("ended by a second signal (%s); %d sessions were cut off", s, n.engine.Sessions())
		}
	}
}

// sameSignal is the time in which a second signal counts as the first once
// more: a supervisor that signals both the process and its group sends two.
const sameSignal = 250 * time.Millisecond

func (n *node) drain() error {
	within(stopTimeout, n.endReloads)
	if err := n.engine.Drain(context.Background(), n.live().DrainWindow); err != nil {
		n.log.Warn("not all sessions have gone in time", "err", err)
	}
	return n.stop(n.live().FlushTimeout)
}

// stop takes down what start has built, in the opposite order. It returns the
// failure that matters: messages that were accepted and are not in Kafka.
func (n *node) stop(flush time.Duration) error {
	if n.downlink != nil {
		n.downlink.cancel()
		<-n.downlink.done // bounded: the downlink leaves its group in seconds
	}
	if n.bus != nil {
		n.bus.stop()
	}
	if n.overload != nil {
		n.overload.stop()
	}
	if n.engine != nil {
		within(stopTimeout, func(ctx context.Context) {
			if err := n.engine.Close(ctx); err != nil {
				n.log.Warn("the event loops did not end in time", "err", err)
			}
		})
	}
	if n.directory != nil {
		n.directory.stop(n.log)
	}
	if n.auth != nil {
		n.auth.Close() // bounded by the webhook's timeout and that of a key set
	}
	var lost error
	if n.uplink != nil {
		within(flush, func(ctx context.Context) { lost = n.uplink.Close(ctx) })
	}
	if n.broker != nil {
		n.broker.Close()
	}
	if n.traces != nil {
		within(stopTimeout, func(ctx context.Context) { n.traces.stop(ctx, n.log) })
	}
	if n.api != nil {
		within(stopTimeout, func(ctx context.Context) { _ = n.api.Close(ctx) })
	}
	return lost
}

func within(limit time.Duration, do func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	do(ctx)
}
