package reactor

import (
	"errors"
	"fmt"
	"time"

	"github.com/limpet-gateway/limpet/wsproto"
)

// Tuning is the part of a Config that can change while the engine runs. Zero
// values mean the defaults given here.
type Tuning struct {
	MaxConns int // connections at once; 0 is what RLIMIT_NOFILE allows

	Heartbeat        time.Duration // silence after which a session is pinged; 25 s, below the 30 s of common proxies
	HeartbeatGrace   time.Duration // further silence after which it is closed; 15 s
	HandshakeTimeout time.Duration // from accept to a complete request; 10 s
	MessageTimeout   time.Duration // from the first byte of a message to its last; 30 s
	CloseTimeout     time.Duration // for the peer to answer a close frame; 5 s
	LingerTimeout    time.Duration // for a refused peer to read the answer; 2 s
	RetryAfter       time.Duration // hint sent with 503; 5 s
	DecisionTimeout  time.Duration // for Engine.Decide after an Opening was put off; 5 s

	OutboundLimit int // unsent bytes a session may have before it is a slow consumer; 256 KiB
	ControlRate   int // control frames a session may send per second; 100
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

// CheckTuning reports what Tune would refuse, and changes nothing. A limit of
// connections beyond what the engine was started for is ErrNoCapacity.
func (e *Engine) CheckTuning(t Tuning) error {
	_, err := e.tune(t)
	return err
}

// Tune replaces what can change while the engine runs; zero values mean the
// defaults of Tuning. Connections that are there stay, also above a lower
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
	cfg := e.cfg
	cfg.Tuning = t
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("reactor: %w", err)
	}
	cfg.setDefaults()
	next := &tuned{Tuning: cfg.Tuning, maxConns: cfg.MaxConns}
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
