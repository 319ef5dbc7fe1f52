package bench

import (
	"fmt"
	"time"
)

const (
	busyLoop   = 0.9                  // share of the time above which a client loop is saturated
	busyHost   = 0.97                 // share of all cores above which both sides compete
	lateSender = 1 * time.Millisecond // p99 of lateness above which a sender distorts
	leanClient = 1000                 // bytes per connection a client may take
	manyConns  = 5000                 // below, a client's fixed memory hides what a connection takes
)

// clientReport says what the client cost, and whether it was in the way.
func (t *trial) clientReport() {
	s := t.fleet.Stats()
	c := &t.out.Client
	c.Processes, c.CPU, c.RSS = t.fleet.Size(), s.CPU.Seconds(), s.RSS
	if peak := t.mostOpen(); peak >= manyConns && s.RSS > t.clientBase {
		c.RSSPerConn = float64(s.RSS-t.clientBase) / float64(peak)
	}
	if t.server.PID != 0 {
		if cpu, err := t.proc.CPU(t.server.PID); err == nil {
			c.ServerCPU = (cpu - t.cpuBefore).Seconds()
		}
	}
	for _, p := range t.out.Phases {
		if p.ClientBusy > busyLoop {
			c.Bottleneck = true
			c.Why = append(c.Why, fmt.Sprintf("the client was the bottleneck in %s: its loop was busy %.0f %% of the time; give it more processes with --clients", p.Name, p.ClientBusy*100))
		}
		if time.Duration(p.LagP99Nanos) > lateSender {
			c.Why = append(c.Why, fmt.Sprintf("the client sent late in %s (p99 %v), which is part of the latency shown", p.Name, time.Duration(p.LagP99Nanos).Round(10*time.Microsecond)))
		}
		if p.HostBusy > busyHost {
			c.Why = append(c.Why, fmt.Sprintf("all cores were busy in %s (%.0f %%): client and server competed for them", p.Name, p.HostBusy*100))
		}
	}
	if c.ServerCPU > 0 && c.CPU > c.ServerCPU {
		c.Why = append(c.Why, fmt.Sprintf("the client took more CPU (%.2f s) than the server (%.2f s)", c.CPU, c.ServerCPU))
	}
	if c.RSSPerConn > leanClient {
		c.Why = append(c.Why, fmt.Sprintf("the client took %.0f bytes per connection, more than it should", c.RSSPerConn))
	}
}

func (t *trial) mostOpen() int {
	most := t.fleet.Stats().Open
	for _, s := range t.out.Timeline {
		most = max(most, s.Open)
	}
	return most
}
