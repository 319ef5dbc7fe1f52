package reactor

import (
	"errors"
	"fmt"
	"time"

	"github.com/limpet-gateway/limpet/wsproto"
)

// Tuning is the part of a Config that can change while the engine runs. The
// fields mean what they mean there.
type Tuning struct {
	MaxConns int

	Heartbeat        time.Duration
	HeartbeatGrace   time.Duration
	HandshakeTimeout time.Duration
	MessageTimeout   time.Duration
	CloseTimeout     time.Duration
	LingerTimeout    time.Duration
	RetryAfter       time.Duration
	DecisionTimeout  time.Duration

	OutboundLimit int
	ControlRate   int
}

// ErrNoCapacity says that a connection limit is more than the descriptor
// tables and loops take that the engine was started with.
var ErrNoCapacity = errors.New("more connections than the engine was started for")

// tuned is a Tuning in force and what follows from it. It is not changed:
// loops load it where they need it, without a lock.
type tuned struct {
	Tuning
	maxConns int    // never 0
	refusal  []byte // the 503 answer, encoded once
}

func (e *Engine) tuned() *tuned { return e.tuning.Load() }

func (c *Config) tuning() Tuning {
	return Tuning{
		MaxConns:         c.MaxConns,
		Heartbeat:        c.Heartbeat,
		HeartbeatGrace:   c.HeartbeatGrace,
		HandshakeTimeout: c.HandshakeTimeout,
		MessageTimeout:   c.MessageTimeout,
		CloseTimeout:     c.CloseTimeout,
		LingerTimeout:    c.LingerTimeout,
		RetryAfter:       c.RetryAfter,
		DecisionTimeout:  c.DecisionTimeout,
		OutboundLimit:    c.OutboundLimit,
		ControlRate:      c.ControlRate,
	}
}

// over returns c with what t tunes.
func (t *Tuning) over(c Config) Config {
	c.MaxConns = t.MaxConns
	c.Heartbeat, c.HeartbeatGrace = t.Heartbeat, t.HeartbeatGrace
	c.HandshakeTimeout, c.MessageTimeout = t.HandshakeTimeout, t.MessageTimeout
	c.CloseTimeout, c.LingerTimeout = t.CloseTimeout, t.LingerTimeout
	c.RetryAfter, c.DecisionTimeout = t.RetryAfter, t.DecisionTimeout
	c.OutboundLimit, c.ControlRate = t.OutboundLimit, t.ControlRate
	return c
}

// CheckTuning reports what Tune would refuse, and changes nothing. A limit of
// connections beyond what the engine was started for is ErrNoCapacity.
func (e *Engine) CheckTuning(t Tuning) error {
	_, err := e.tune(t)
	return err
}

// Tune replaces what can change while the engine runs; zero values mean the
// defaults of Config. Connections that are there stay, also above a lower
// MaxConns. A deadline or heartbeat that has been scheduled is met, and the
// next one follows the new values. On an error nothing has changed.
func (e *Engine) Tune(t Tuning) error {
	next, err := e.tune(t)
	if err == nil {
		e.tuning.Store(next)
	}
	return err
}

func (e *Engine) tune(t Tuning) (*tuned, error) {
	cfg := t.over(e.cfg)
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("reactor: %w", err)
	}
	cfg.setDefaults()
	next := &tuned{Tuning: cfg.tuning(), maxConns: cfg.MaxConns}
	if next.maxConns == 0 {
		next.maxConns = e.plan.capacity()
	}
	if most := max(e.plan.capacity(), e.plan.maxConns); next.maxConns > most {
		return nil, fmt.Errorf("reactor: %w: %d, at most %d", ErrNoCapacity, next.maxConns, most)
	}
	refusal := wsproto.NewRefusal(503, "no room for another connection; come back later")
	refusal.RetryAfter = cfg.RetryAfter
	next.refusal = refusal.AppendResponse(nil)
	return next, nil
}
