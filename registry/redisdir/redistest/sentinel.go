package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Sentinel is a master with one replica, and one sentinel that decides alone.
type Sentinel struct {
	Master, Replica *Server // at the start

	t        testing.TB
	sentinel *Server
}

const masterSet = "limpet"

// StartSentinel runs the three processes and waits until the sentinel knows
// the replica.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	Require(t, "redis-server", "redis-sentinel")
	s := &Sentinel{t: t, Master: Start(t, "--repl-diskless-sync-delay", "0")}
	host, port, _ := net.SplitHostPort(s.Master.Addr)
	s.Replica = Start(t, "--replicaof", host+" "+port, "--repl-ping-replica-period", "1")
	s.Replica.await("is in sync", func() bool { return s.Replica.Info("master_link_status") == "up" })

	dir := t.TempDir()
	config := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 1\nsentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 3000\n",
		masterSet, host, port)
	if err := os.WriteFile(filepath.Join(dir, "sentinel.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.sentinel = &Server{t: t, program: "redis-sentinel", dir: dir}
	s.sentinel.start(freeAddr(t))
	t.Cleanup(s.sentinel.Kill)
	s.sentinel.await("knows the replica", func() bool {
		text, err := s.sentinel.Do("SENTINEL", "REPLICAS", masterSet)
		return err == nil && strings.Contains(text, s.Replica.port())
	})
	return s
}

// URL is what a client is given.
func (s *Sentinel) URL() string {
	return "redis://" + s.sentinel.Addr + "?master_set=" + masterSet
}

// AwaitFailover waits until the replica is the master.
func (s *Sentinel) AwaitFailover() {
	s.t.Helper()
	await(s.t, "replica becomes master", 20*time.Second, func() bool { return s.Replica.Info("role") == "master" })
}
