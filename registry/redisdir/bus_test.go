package redisdir

import (
	"strings"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// Nodes that share Redis, and have their pushes carried by different things,
// lose what is for each other; both have to say so, and when it is over.
func TestNodesOnDifferentBuses(t *testing.T) {
	s := redistest.Start(t)
	told := make(chan error, 100)
	node := func(id, bus string) *testNode {
		c := quick(s.URL(), id)
		c.Bus = bus
		c.BusDiffers = func(why error) { told <- why }
		return joinedNode(t, c, 1)
	}
	a := node("a", "kafka:limpet.")
	node("b", "kafka:limpet.")
	c := node("c", "redis:limpet.")
	for range 3 {
		why := <-told
		if why == nil || !strings.Contains(why.Error(), "redis:limpet.") || !strings.Contains(why.Error(), "kafka:limpet.") {
			t.Errorf("told %v", why)
		}
	}
	if got := a.log.Count("do not reach each other"); got != 1 {
		t.Errorf("logged %d times:\n%s", got, a.log)
	}
	c.stop()
	for range 2 {
		select {
		case why := <-told:
			if why != nil {
				t.Errorf("then %v", why)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the end of it is not told")
		}
	}
}
