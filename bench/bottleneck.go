package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	busyLoop   = 0.9                  // share of the time above which a client loop is saturated
	busyHost   = 0.97                 // share of all cores above which both sides compete
	lateSender = 1 * time.Millisecond // p99 of lateness above which a sender distorts
	leanClient = 1000                 // bytes per connection a client may take
	strangers  = 0.25                 // cores that other programs may take
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
	t.phaseNotes()
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

// phaseNotes says once for each trouble in which phases it was met.
func (t *trial) phaseNotes() {
	worst := make(map[string]float64)
	where := make(map[string][]string)
	met := func(trouble, phase string, value float64) {
		worst[trouble] = max(worst[trouble], value)
		if !slices.Contains(where[trouble], phase) {
			where[trouble] = append(where[trouble], phase)
		}
	}
	for _, p := range t.out.Phases {
		if p.ClientBusy > busyLoop {
			t.out.Client.Bottleneck = true
			met("the client was the bottleneck, give it more processes with --clients: its loop was busy %.0f %% of the time", p.Name, p.ClientBusy*100)
		}
		if time.Duration(p.LagP99Nanos) > lateSender {
			met("the client sent up to %.1f ms late (p99), which is part of the latency shown", p.Name, float64(p.LagP99Nanos)/1e6)
		}
		// Not said of dials: over loopback the kernel charges both ends of a TCP
		// handshake to the side that dials.
		if p.Sent > 0 && p.ServerCPU > 0 && p.ClientCPU > p.ServerCPU {
			met("the client took %.1f times the server's CPU", p.Name, p.ClientCPU/p.ServerCPU)
		}
		if p.HostBusy > busyHost {
			met("client and server competed for the cores, which were busy %.0f %% of the time", p.Name, p.HostBusy*100)
		}
		if p.Others > strangers {
			met("other programs of this machine took %.1f cores", p.Name, p.Others)
		}
	}
	for _, trouble := range slices.Sorted(maps.Keys(worst)) {
		t.note(trouble+" (%s)", worst[trouble], strings.Join(where[trouble], ", "))
	}
}
