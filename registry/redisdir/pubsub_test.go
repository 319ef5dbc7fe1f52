package redisdir

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/logtest"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// subscriber is one end of a PubSub, subscribed to a channel of its own and to
// everybody's.
type subscriber struct {
	*PubSub
	t    testing.TB
	name string
	log  *logtest.Log
	stop func()

	mu    sync.Mutex
	got   []string
	state error // as last reported
}

func subscribe(t testing.TB, url, name string) *subscriber {
	t.Helper()
	s := &subscriber{t: t, name: name, log: new(logtest.Log)}
	p, err := NewPubSub(PubSubConfig{URL: url, CallTimeout: 250 * time.Millisecond, Log: slog.New(slog.NewTextHandler(s.log, nil)), Changed: func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.state = err
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.PubSub = p
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- p.Subscribe(ctx, []string{"to." + name, "to.all"}, func() { close(ready) }, func(m []byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.got = append(s.got, string(m))
		})
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, s.log)
		}
	})
	select {
	case <-ready:
	case <-time.After(15 * time.Second):
		t.Fatalf("%s is not subscribed", name)
	}
	return s
}

func (s *subscriber) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// sends publishes until as many have been given the message as should, and the
// receivers have it.
func (s *subscriber) sends(message string, channel string, to ...*subscriber) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, func() string {
		n, err := s.Publish(s.t.Context(), channel, []byte(message))
		if err != nil || n != len(to) {
			return fmt.Sprintf("%s: %d receivers of %s, %v; want %d", message, n, channel, err, len(to))
		}
		return ""
	})
	for _, r := range to {
		eventually(s.t, 10*time.Second, func() string {
			if !slices.Contains(r.received(), message) {
				return fmt.Sprintf("%s has %v, not %s", r.name, r.received(), message)
			}
			return ""
		})
	}
}

// exchange has both reach each other, themselves and all.
func exchange(round string, a, b *subscriber) {
	a.t.Helper()
	a.sends(round+" a to b", "to.b", b)
	b.sends(round+" b to a", "to.a", a)
	a.sends(round+" to all", "to.all", a, b)
}

func TestPubSub(t *testing.T) {
	s := redistest.Start(t)
	a, b := subscribe(t, s.URL(), "a"), subscribe(t, s.URL(), "b")
	exchange("first", a, b)
	if n, err := a.Publish(t.Context(), "to.nobody", []byte("x")); n != 0 || err != nil {
		t.Errorf("to nobody: %d receivers, %v", n, err)
	}
	// Another database is another installation, though Redis does not think so.
	c := subscribe(t, s.URL()+"/3", "c")
	a.sends("not for c", "to.all", a, b)
	c.sends("for c alone", "to.all", c)
	b.stop()
	a.sends("b has gone", "to.b")
	for i := range 1000 {
		if _, err := a.Publish(t.Context(), "to.a", fmt.Appendf(nil, "%04d", i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 10*time.Second, func() string {
		got := a.received()
		if got = got[max(0, len(got)-1000):]; got[len(got)-1] != "0999" || !slices.IsSorted(got) {
			return fmt.Sprintf("last is %s, in order: %v", got[len(got)-1], slices.IsSorted(got))
		}
		return ""
	})
	if got := c.received(); !slices.Equal(got, []string{"for c alone"}) {
		t.Errorf("c received %v", got)
	}
}

func TestPubSubStartsWithoutRedis(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	p, err := NewPubSub(PubSubConfig{URL: s.URL(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), "c", nil); err == nil {
		t.Error("a message is published without a server")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- p.Subscribe(ctx, []string{"c"}, func() { close(ready) }, func([]byte) {}) }()
	s.Restart()
	select {
	case <-ready:
	case <-time.After(15 * time.Second):
		t.Error("never subscribed")
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("Subscribe returns no error at its end")
	}
}

// Whatever Redis suffers, messages arrive again afterwards, a failure is
// reported while they do not, and no call takes long.
func TestPubSubFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(*redistest.Server, *redistest.Proxy)
		mend  func(*redistest.Server)
	}{
		{"restart", func(s *redistest.Server, _ *redistest.Proxy) { s.Kill() }, func(s *redistest.Server) { s.Restart() }},
		{"hung", func(s *redistest.Server, _ *redistest.Proxy) { s.Freeze() }, func(s *redistest.Server) { s.Thaw() }},
		{"cut", func(_ *redistest.Server, p *redistest.Proxy) { p.Cut() }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := redistest.Start(t)
			proxy := redistest.StartProxy(t, s)
			a, b := subscribe(t, proxy.URL(), "a"), subscribe(t, proxy.URL(), "b")
			exchange("before", a, b)
			c.fault(s, proxy)
			if c.mend != nil {
				begun, calls := time.Now(), 0
				eventually(t, 20*time.Second, func() string {
					calls++
					_, err := a.Publish(t.Context(), "to.b", []byte("lost"))
					b.mu.Lock()
					defer b.mu.Unlock()
					if err == nil || b.state == nil {
						return fmt.Sprintf("published: %v; reported: %v", err, b.state)
					}
					return ""
				})
				if took := time.Since(begun) / time.Duration(calls); took > 5*time.Second {
					t.Errorf("a call took %v", took)
				}
				c.mend(s)
			}
			exchange("after", a, b)
			eventually(t, 10*time.Second, func() string {
				b.mu.Lock()
				defer b.mu.Unlock()
				if b.state != nil {
					return "still reported: " + b.state.Error()
				}
				return ""
			})
		})
	}
}

func TestPubSubInACluster(t *testing.T) {
	c := redistest.StartCluster(t)
	a, b := subscribe(t, c.URL(), "a"), subscribe(t, c.Masters[2].URL()+"?addr="+c.Masters[1].Addr, "b")
	exchange("first", a, b)
	slot := c.SlotOf("to.b")
	from := c.MasterOf(slot)
	c.MoveSlot(slot, c.Masters[from], c.Masters[(from+1)%3], func() {})
	exchange("after a slot has moved", a, b)
	i := c.MasterOf(c.SlotOf("to.all"))
	c.Masters[i].Kill()
	c.AwaitFailover(i)
	exchange("after a failover", a, b)
}

func TestPubSubWithSentinel(t *testing.T) {
	s := redistest.StartSentinel(t)
	a, b := subscribe(t, s.URL(), "a"), subscribe(t, s.URL(), "b")
	exchange("first", a, b)
	s.Master.Kill()
	s.AwaitFailover()
	exchange("after a failover", a, b)
}
