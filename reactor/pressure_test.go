package reactor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"
	"github.com/panjf2000/gnet/v2"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/wsproto"
)

// Under pressure newcomers get 503 with Retry-After, established sessions do
// not notice, and when it is over newcomers are let in.
func TestPressureRefusesNewcomers(t *testing.T) {
	e := startEngine(t, Config{Loops: 2, Tuning: Tuning{RetryAfter: 7 * time.Second}}, &recorder{})
	in := dial(t, e, "in")
	refused := func() {
		t.Helper()
		late := dialRaw(t, e)
		late.send([]byte(request("late")))
		if got := late.expectStatus(http.StatusServiceUnavailable).Header.Get("Retry-After"); got != "7" {
			t.Errorf("Retry-After: %q", got)
		}
	}
	e.SetPressure(Pressure{Refuse: true})
	refused()
	e.SetPressure(Pressure{Newcomers: 2}) // until the next call
	dial(t, e, "first")
	dial(t, e, "second")
	refused()
	if err := in.WriteMessage(websocket.TextMessage, []byte("still")); err != nil {
		t.Fatal(err)
	}
	expectMessage(t, in, "still")
	if n := e.Stats().RefusedLoad; n != 2 {
		t.Errorf("%d refused, want 2", n)
	}
	e.SetPressure(Pressure{})
	dial(t, e, "after")
}

// At a level that drops low priority, it is dropped also for who reads.
func TestPressureDropsLow(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Loops: 1}, h)
	c := dial(t, e, "dev1")
	push := func(p session.Priority, text string) Outcome {
		t.Helper()
		receipt := NewReceipt()
		if err := e.Send(h.id(t, "dev1"), Push{Opcode: session.Text, Priority: p, Payload: []byte(text), Receipt: receipt}); err != nil {
			t.Fatal(err)
		}
		out, err := receipt.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	e.SetPressure(Pressure{DropLow: true})
	if out := push(session.Low, "dropped"); out.Dropped != 1 {
		t.Errorf("low: %+v", out)
	}
	if out := push(session.Medium, "medium"); out.Delivered != 1 {
		t.Errorf("medium: %+v", out)
	}
	e.SetPressure(Pressure{})
	if out := push(session.Low, "low"); out.Delivered != 1 {
		t.Errorf("low afterwards: %+v", out)
	}
	expectMessage(t, c, "medium")
	expectMessage(t, c, "low")
	if n := e.Stats().DroppedLoad; n != 1 {
		t.Errorf("%d dropped, want 1", n)
	}
}

// Halved limits make a slow consumer sooner, and the mailbox smaller.
func TestPressureHalvesLimits(t *testing.T) {
	e := startEngine(t, Config{Loops: 1, MailboxBytes: 1 << 20, OutboundBytes: 1 << 24, InboundBytes: 1 << 24, Tuning: Tuning{OutboundLimit: 1 << 20}}, &recorder{})
	e.SetPressure(Pressure{Halvings: 3, Inbound: 1 << 30})
	for name, c := range map[string]struct{ got, want int64 }{
		"outbound limit": {int64(e.outboundLimit()), 1 << 17}, "mailbox": {e.mailboxBytes.Load(), 1 << 17},
		"outbound": {e.outboundTotal.Load(), 1 << 21}, "inbound": {e.inboundTotal.Load(), 1 << 21},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
	e.SetPressure(Pressure{Halvings: 255, Inbound: 77})
	if got := int64(e.outboundLimit()); got != 1<<20>>maxHalvings {
		t.Errorf("halved as often as can be: %d", got)
	}
	if got := e.inboundTotal.Load(); got != 77 {
		t.Errorf("inbound %d, want the 77 of the pressure", got)
	}
}

// priorities gives sessions the priority that their name begins with.
func priorities(o *Opening) *wsproto.Refusal {
	name, _ := o.Request.Query("id")
	for _, p := range []session.Priority{session.High, session.Medium, session.Low} {
		if strings.HasPrefix(name, p.String()) {
			o.Priority = p
		}
	}
	return nil
}

// Shedding takes low priority first, then who is idle; who is active and not of
// low priority stays. A shed session is told when to come back.
func TestPressureSheds(t *testing.T) {
	h := &recorder{onOpen: priorities}
	e := startEngine(t, Config{Loops: 1, Tuning: Tuning{Heartbeat: 8 * time.Second, HeartbeatGrace: 2 * patience}}, h) // who is silent for 4 s is idle
	raws := map[string]*raw{}
	for _, name := range []string{"low1", "low2", "medium1", "high1"} { // they never answer pings
		c := dialRaw(t, e)
		c.upgrade(name)
		raws[name] = c
	}
	var active []*websocket.Conn
	stop := make(chan struct{})
	var talking sync.WaitGroup
	for _, name := range []string{"high-active", "medium-active"} {
		c := dial(t, e, name)
		active = append(active, c)
		talking.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond):
				}
				if c.WriteMessage(websocket.TextMessage, []byte("here")) != nil {
					return
				}
				if _, _, err := c.ReadMessage(); err != nil {
					t.Errorf("an active session was shed: %v", err)
					return
				}
			}
		})
	}
	var mu sync.Mutex
	var order []string
	var ends sync.WaitGroup
	for name, c := range raws {
		ends.Go(func() {
			for {
				f, err := c.frame()
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				if f.Header.OpCode == ws.OpClose {
					code, text, _ := wsproto.ParseClose(f.Payload)
					if code != 1013 || !strings.HasPrefix(string(text), "retry=") {
						t.Errorf("%s: %d %q, want 1013 with a hint", name, code, text)
					}
					mu.Lock()
					order = append(order, name)
					mu.Unlock()
					c.Close()
					return
				}
			}
		})
	}
	eventually(t, "some to be idle", func() bool { return e.Stats().Pings >= 4 })
	e.SetPressure(Pressure{Shed: 5}) // one for each tick
	ends.Wait()
	eventually(t, "their ends", func() bool { return e.Stats().Sessions == 2 })
	for range 3 { // and nobody else, however long it lasts
		before := e.Stats().MessagesIn
		eventually(t, "the active ones to talk", func() bool { return e.Stats().MessagesIn >= before+10 })
	}
	close(stop)
	talking.Wait()
	if n := e.Stats().Shed; n != 4 {
		t.Errorf("%d were shed, want 4", n)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(order) != 4 || !strings.HasPrefix(order[0], "low") || !strings.HasPrefix(order[1], "low") || order[2] != "medium1" || order[3] != "high1" {
		t.Errorf("shed in the order %q", order)
	}
	for name := range raws {
		if reason := h.waitEnd(t, name); reason != session.Overloaded {
			t.Errorf("%s ended as %v", name, reason)
		}
	}
	_ = active
}

// A batch of those to be shed holds the ones that rank highest, in order.
func TestShedChoosesTheLongestIdle(t *testing.T) {
	e := &Engine{}
	e.tuning.Store(&tuned{Tuning: Tuning{Heartbeat: 25 * time.Second}})
	e.loops.Store(new([]*loop))
	l := &loop{engine: e, slab: newSlab(0, numberingFor(1))}
	l.wheel.now = 1 << 20
	want := map[uint64]int{}
	for i := range 3 * shedBatch {
		c := l.slab.take(nil)
		c.state, c.seen = open, l.wheel.now-uint32(i)
		c.priority = session.Priority(i % 3)
		if rank, ok := l.shedRank(c); ok {
			want[rank]++
		}
	}
	var s shedPlan
	s.choose(l)
	if len(s.chosen) != shedBatch {
		t.Fatalf("%d chosen", len(s.chosen))
	}
	for i, c := range s.chosen {
		if i > 0 && c.rank > s.chosen[i-1].rank {
			t.Fatalf("place %d ranks above the one before", i)
		}
		if p := l.slab.bySlot(c.slot).priority; p != session.Low {
			t.Fatalf("place %d is of %v priority, and there are %d of low", i, p, shedBatch)
		}
		want[c.rank]--
	}
	if c := s.next(l); c == nil || c.seen != l.wheel.now-uint32(3*shedBatch-1) {
		t.Errorf("the first is not the one that is idle for longest: %+v", c)
	}
	l.slab.bySlot(s.chosen[0].slot).seen = l.wheel.now // of low priority: goes all the same
	if c := s.next(l); c == nil || c.seen != l.wheel.now {
		t.Errorf("%+v", c)
	}
	for range 2 * shedBatch { // medium and high, now active: nobody else is left
		if c := s.next(l); c == nil {
			break
		}
	}
	if len(s.chosen) != 0 {
		t.Errorf("%d left", len(s.chosen))
	}
}

// All unfinished messages together are bounded: those who hold most are closed
// with 1013, who holds little stays.
func TestUnfinishedInputOfAllIsBounded(t *testing.T) {
	const limit = 1 << 20
	h := &recorder{}
	e := startEngine(t, Config{Loops: 2, InboundBytes: limit}, h)
	small := dialRaw(t, e)
	small.upgrade("small")
	whole := masked(ws.OpText, true, []byte("in two pieces"))
	small.send(whole[:9])
	most := 0
	var large []*raw
	for i := range 60 { // 64 KiB each: almost four times the limit
		c := dialRaw(t, e)
		c.upgrade(fmt.Sprint("large", i))
		c.send(masked(ws.OpBinary, true, make([]byte, 60<<10))[:50<<10])
		large = append(large, c)
		most = max(most, e.Stats().UnfinishedBytes)
	}
	eventually(t, "some to be closed", func() bool {
		s := e.Stats()
		most = max(most, s.UnfinishedBytes)
		return s.Closed[session.Overloaded] >= 60-limit>>16 && s.UnfinishedBytes <= limit
	})
	if most > 2*limit {
		t.Errorf("%d bytes were unfinished, the limit is %d", most, limit)
	}
	closed := 0
	for i := range large {
		h.mu.Lock()
		reason, ended := h.ended[h.opened[fmt.Sprint("large", i)]]
		h.mu.Unlock()
		if ended && reason == session.Overloaded {
			closed++
			if text := large[i].expectClose(1013); !strings.HasPrefix(text, "retry=") {
				t.Errorf("closed with %q", text)
			}
		}
	}
	if closed == 0 || closed == len(large) {
		t.Errorf("%d of %d closed", closed, len(large))
	}
	small.send(whole[9:])
	if f, err := small.frame(); err != nil || string(f.Payload) != "in two pieces" {
		t.Errorf("who holds little: %q, %v", f.Payload, err)
	}
	if n := e.Stats().Evicted; n < uint64(closed) {
		t.Errorf("%d evictions for %d closes", n, closed)
	}
}

// Handshakes are input too.
func TestUnfinishedRequestsAreBounded(t *testing.T) {
	e := startEngine(t, Config{Loops: 1, InboundBytes: 64 << 10}, &recorder{})
	for range 64 {
		c := dialRaw(t, e)
		c.send([]byte("GET /ws HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 4000)))
	}
	eventually(t, "some to be refused", func() bool { s := e.Stats(); return s.RefusedLoad > 0 && s.UnfinishedBytes <= 64<<10 })
}

// All unsent bytes together are bounded, for a push to everybody too: those who
// hold most are cut, those who read get everything.
func TestUnsentBytesOfAllAreBounded(t *testing.T) {
	const limit = 2 << 20
	h := &recorder{}
	e := startEngine(t, Config{Loops: 2, OutboundBytes: limit, Tuning: Tuning{OutboundLimit: 1 << 20}}, h)
	reads := dial(t, e, "reads")
	for i := range 16 {
		c := dialRaw(t, e)
		_ = c.Conn.(interface{ SetReadBuffer(int) error }).SetReadBuffer(4 << 10)
		c.upgrade(fmt.Sprint("slow", i))
	}
	payload := []byte(strings.Repeat("x", 64<<10))
	most, sent := 0, 0
	var got atomic.Int64
	go func() {
		for {
			if _, b, err := reads.ReadMessage(); err != nil || len(b) != len(payload) {
				return
			}
			got.Add(1)
		}
	}()
	for sent < 400 {
		receipt := NewReceipt()
		if err := e.Broadcast(Push{Opcode: session.Text, Priority: session.High, Payload: payload, Receipt: receipt}); err != nil {
			t.Fatal(err)
		}
		if _, err := receipt.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		sent++
		eventually(t, "who reads to get it, and every one before", func() bool {
			most = max(most, e.Stats().UnsentBytes)
			return got.Load() == int64(sent)
		})
	}
	s := e.Stats()
	if s.Evicted == 0 || s.Closed[session.SlowConsumer] < 10 {
		t.Errorf("%d evicted, ends: %v", s.Evicted, s.Closed)
	}
	if most > limit+limit/2 {
		t.Errorf("%d bytes unsent, the limit is %d", most, limit)
	}
	eventually(t, "no unsent bytes of those who are gone", func() bool { return e.Stats().UnsentBytes == 0 })
}

// What peers have read since it was written counts no more.
func TestReadBytesAreNotUnsent(t *testing.T) {
	h := &recorder{}
	e := startEngine(t, Config{Loops: 1, OutboundBytes: 8 << 20, Tuning: Tuning{OutboundLimit: 4 << 20}}, h)
	c := dialRaw(t, e)
	_ = c.Conn.(interface{ SetReadBuffer(int) error }).SetReadBuffer(4 << 10)
	c.upgrade("slow")
	payload := make([]byte, 64<<10)
	for e.Stats().UnsentBytes == 0 {
		receipt := NewReceipt()
		if err := e.Send(h.id(t, "slow"), Push{Opcode: session.Binary, Payload: payload, Receipt: receipt}); err != nil {
			t.Fatal(err)
		}
		if out, err := receipt.Wait(t.Context()); err != nil || out.Delivered != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	l := e.allLoops()[0]
	done := make(chan struct{})
	look := func(context.Context) error {
		l.count.unsent.Store(1 << 30) // written by others, and read
		l.thinOut()
		close(done)
		return nil
	}
	if err := l.events.Execute(t.Context(), gnet.RunnableFunc(look)); err != nil {
		t.Fatal(err)
	}
	<-done
	if s := e.Stats(); s.Evicted != 0 || s.Sessions != 1 || s.UnsentBytes >= 8<<20 {
		t.Errorf("%d evicted, %d sessions, %d bytes unsent", s.Evicted, s.Sessions, s.UnsentBytes)
	}
}

// Work that waits for a loop shows.
func TestLag(t *testing.T) {
	release := make(chan struct{})
	held := make(chan struct{})
	h := &recorder{onMessage: func(Session, session.Opcode, []byte) { close(held); <-release }}
	e := startEngine(t, Config{Loops: 1}, h)
	c := dial(t, e, "dev1")
	if err := c.WriteMessage(websocket.TextMessage, []byte("hold")); err != nil {
		t.Fatal(err)
	}
	<-held
	eventually(t, "a lag", func() bool { return e.Stats().Lag > 3*tick })
	close(release)
	eventually(t, "none", func() bool { return e.Stats().Lag < tick })
}
