package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/bridge/embedded"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// Redis loses everything while pushes are routed. Nobody who is connected is
// taken for offline meanwhile, on whatever node, however much later that one
// notices.
func TestPushesWhileRedisIsFilledAgain(t *testing.T) {
	for name, lose := range map[string]func(*redistest.Server){
		"emptied":         func(s *redistest.Server) { s.Must("FLUSHALL") },
		"restarted empty": func(s *redistest.Server) { s.Kill(); s.Restart() },
		"away, and empty": func(s *redistest.Server) { s.Kill(); time.Sleep(500 * time.Millisecond); s.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			redis := redistest.Start(t)
			broker, err := embedded.Start(embedded.Config{Topics: []embedded.Topic{{Name: "limpet.inbox", Partitions: 3}, {Name: "limpet.broadcast", Partitions: 1}}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(broker.Close)
			a, b := start(t, "a", redis.URL(), broker.Addr()), start(t, "b", redis.URL(), broker.Addr())
			b.open("bob", 1)
			eventually(t, "bob is reached", func() bool { return a.push("bob", "first").Forwarded == 1 })

			lose(redis)
			var sent []string
			for i := range 400 {
				payload := fmt.Sprint(i)
				if r := a.push("bob", payload); r.Why != "" {
					t.Fatalf("push %d after Redis was emptied: %+v", i, r)
				}
				sent = append(sent, "bob="+payload)
				time.Sleep(2 * time.Millisecond)
			}
			eventually(t, "bob has all", func() bool {
				got := b.received()
				return !slices.ContainsFunc(sent, func(s string) bool { return !slices.Contains(got, s) })
			})
			eventually(t, "pushes go to one node again", func() bool { return a.push("bob", "last").Forwarded == 1 })
		})
	}
}
