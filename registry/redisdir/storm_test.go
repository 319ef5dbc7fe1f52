package redisdir

import (
	"fmt"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// TestStorm lets 100,000 sessions come and go ten times as fast as the table
// takes them, which is faster than Redis does.
func TestStorm(t *testing.T) {
	const sessions, rounds = 100_000, 10
	s := redistest.Start(t)
	config := quick(s.URL(), "a")
	config.Expect = sessions
	config.Queue = 1 << 17
	config.CallTimeout, config.Lease = 5*time.Second, 20*time.Second // a busy machine is no outage
	a := joinedNode(t, config, 1)
	names := make([]string, sessions)
	for i := range names {
		names[i] = fmt.Sprintf("user-%06d", i)
	}
	refs := make([]registry.Ref, sessions)
	for range rounds {
		for i, name := range names {
			added, err := a.table.Add([]byte(name), session.ID{Incarnation: a.table.Incarnation(), Slot: uint32(i), Generation: 1})
			if err != nil {
				t.Fatal(err)
			}
			refs[i] = added.Ref
		}
		for _, ref := range refs {
			a.table.Remove(ref)
		}
	}
	eventually(t, time.Minute, func() string {
		if w := a.dir.waiting(); w > 0 {
			return fmt.Sprintf("%d changes wait", w)
		}
		return ""
	})
	if left := keysLeft(s); len(left) != 0 {
		t.Errorf("%d buckets are left", len(left))
	}
	stats := a.dir.Stats()
	if stats.QueuePeak > stats.QueueMax || stats.Overruns != 0 {
		t.Errorf("queue reached %d of %d, %d names not remembered", stats.QueuePeak, stats.QueueMax, stats.Overruns)
	}
	if stats.QueuePeak < sessions/10 || stats.Written == 0 || stats.Degradations != 0 {
		t.Errorf("this was no storm: %+v", stats)
	}
	t.Logf("queue reached %d of %d; %d writes for %d changes", stats.QueuePeak, stats.QueueMax, stats.Written, 2*sessions*rounds)
}

// TestQueueRunsOver has far more changes than the queue holds while Redis is
// away; nothing but a full resync can make it good.
func TestQueueRunsOver(t *testing.T) {
	s := redistest.Start(t)
	config := quick(s.URL(), "a")
	config.Queue = 4096
	a := joinedNode(t, config, 1)
	var early []session.ID
	for i := range 3000 {
		early = append(early, a.open(fmt.Sprintf("early-%d", i)))
	}
	agree(t, s.URL(), a)
	s.Freeze()
	for i := range 20_000 {
		a.open(fmt.Sprintf("late-%d", i))
	}
	for _, id := range early {
		a.end(id) // forgotten: these entries are in Redis and nobody remembers
	}
	stats := a.dir.Stats()
	if stats.Overruns == 0 || stats.QueuePeak > stats.QueueMax {
		t.Errorf("queue reached %d of %d with %d overruns", stats.QueuePeak, stats.QueueMax, stats.Overruns)
	}
	s.Thaw()
	agree(t, s.URL(), a)
}
