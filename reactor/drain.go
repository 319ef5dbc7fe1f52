package reactor

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// drainPlan closes a loop's sessions evenly over a window, so that the rest of
// the fleet meets a stream of reconnects and not a wave.
type drainPlan struct {
	active bool
	end    uint32 // tick by which all are asked to go
	window time.Duration
	cursor uint32 // next index of the slab to look at
	left   int    // sessions behind the cursor, as counted at the beginning
}

func (d *drainPlan) begin(l *loop, window time.Duration) {
	*d = drainPlan{active: true, end: l.wheel.now + ticks(window), window: window, left: l.slab.used}
	d.step(l)
}

// step closes this tick's share.
func (d *drainPlan) step(l *loop) {
	if !d.active {
		return
	}
	share := d.left
	if ticksLeft := int32(d.end - l.wheel.now); ticksLeft > 0 {
		share = (d.left + int(ticksLeft)) / (int(ticksLeft) + 1)
	}
	for ; share > 0 && d.cursor < l.slab.size(); d.cursor++ {
		if c := l.slab.at(d.cursor); c.state == open {
			l.closeWith(c, session.Draining, d.hint(l))
			share--
			d.left--
		}
	}
	if d.cursor >= l.slab.size() && int32(d.end-l.wheel.now) <= 0 {
		d.active = false
	}
}

// hint tells a peer when to come back: a random time within the window, at
// least half a second, so that those of one tick do not come together.
func (d *drainPlan) hint(l *loop) string {
	ms := 500 + l.rng.Int64N(max(1, d.window.Milliseconds()))
	return "retry=" + strconv.FormatInt(ms, 10)
}

// Drain refuses new connections with 503 and closes every session with 1012,
// spread evenly over window, with a reconnect hint (retry=MS) as the reason.
// It returns when all have gone: at the latest when the last asked has had
// the close timeout to answer, or with the context's error.
func (e *Engine) Drain(ctx context.Context, window time.Duration) error {
	e.draining.Store(true)
	for _, l := range e.allLoops() {
		if err := l.mailbox.put(mail{kind: mailDrain, window: window}); err != nil {
			return fmt.Errorf("reactor: drain loop %d: %w", l.number, err)
		}
	}
	poll := time.NewTicker(tick / 4)
	defer poll.Stop()
	deadline := time.NewTimer(window + e.tuned().CloseTimeout + 5*tick)
	defer deadline.Stop()
	for {
		left := e.Sessions()
		if left == 0 {
			return nil
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			return fmt.Errorf("reactor: drain: %d sessions have not gone", left)
		case <-e.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
