package reactor

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// turnstile admits so many at a time.
type turnstile struct {
	most int

	mu    sync.Mutex
	conns map[uint64]int
}

// Source is the address as a number; the tests have IPv4 alone.
func (s *turnstile) Source(addr netip.Addr) uint64 {
	b := addr.As4()
	return 1<<32 | uint64(binary.BigEndian.Uint32(b[:]))
}

func (s *turnstile) Admit(source uint64) (bool, int, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[source] >= s.most {
		return false, 429, 7 * time.Second
	}
	if s.conns == nil {
		s.conns = map[uint64]int{}
	}
	s.conns[source]++
	return true, 0, 0
}

func (s *turnstile) Leave(source uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[source]--; s.conns[source] < 0 {
		panic("more left than came")
	}
}

func (s *turnstile) inside() int { return s.from("127.0.0.1") }

func (s *turnstile) from(addr string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[s.Source(netip.MustParseAddr(addr))]
}

// The gate's answer reaches the peer, and it is told of every end of those it
// has counted, however they end, and of no other.
func TestGate(t *testing.T) {
	gate := &turnstile{most: 4}
	e := startEngine(t, Config{Loops: 2, Gate: gate}, &recorder{})
	var in []*websocket.Conn
	for i := range 4 {
		in = append(in, dial(t, e, strconv.Itoa(i)))
	}
	for range 3 {
		c := dialRaw(t, e)
		c.send([]byte(request("late")))
		if resp := c.expectStatus(429); resp.Header.Get("Retry-After") != "7" {
			t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
		}
		c.expectEnd()
	}
	if n := gate.inside(); n != 4 {
		t.Fatalf("%d are inside, want 4", n)
	}
	if n := e.Stats().RefusedGate; n != 3 {
		t.Errorf("%d refused, want 3", n)
	}
	in[0].Close()                  // a session ends
	in[1].UnderlyingConn().Close() // without a close frame
	eventually(t, "two to have left", func() bool { return gate.inside() == 2 })
	c := dialRaw(t, e)
	c.send([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) // never becomes a session
	c.expectStatus(404)
	c.Close()
	eventually(t, "it to have left", func() bool { return gate.inside() == 2 })
	if err := in[2].WriteMessage(websocket.TextMessage, []byte("served")); err != nil {
		t.Fatal(err)
	}
	expectMessage(t, in[2], "served")
}
