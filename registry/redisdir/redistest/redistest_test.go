package redistest

import (
	"testing"
	"time"
)

func TestServer(t *testing.T) {
	s := Start(t)
	s.Must("SET", "k", "v")
	if got := s.Must("GET", "k"); got != "v" {
		t.Fatalf("GET = %q", got)
	}
	s.Kill()
	if _, err := s.Do("PING"); err == nil {
		t.Fatal("a killed server answers")
	}
	s.Restart()
	if got := s.Must("GET", "k"); got != "" {
		t.Fatalf("a restarted server still has %q", got)
	}
}

func TestProxyDelaysAndCuts(t *testing.T) {
	s := Start(t)
	p := StartProxy(t, s)
	through := &Server{Addr: p.Addr}
	p.Delay(200 * time.Millisecond)
	began := time.Now()
	if reply, err := through.Do("PING"); err != nil || reply != "PONG" {
		t.Fatal(reply, err)
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("answered after %v, want 200ms", took)
	}
}

func TestClusterMovesASlot(t *testing.T) {
	c := StartCluster(t)
	slot := c.SlotOf("{a}")
	from := c.MasterOf(slot)
	to := (from + 1) % 3
	c.Masters[from].Must("SET", "{a}", "1")
	c.MoveSlot(slot, c.Masters[from], c.Masters[to], func() {})
	if got := c.Masters[to].Must("GET", "{a}"); got != "1" {
		t.Fatalf("after the move: %q", got)
	}
}

func TestSentinelFailsOver(t *testing.T) {
	s := StartSentinel(t)
	s.Master.Kill()
	s.AwaitFailover()
}
