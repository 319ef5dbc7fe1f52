package redistest

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Cluster is a Redis Cluster of three masters with one replica each.
type Cluster struct {
	Masters, Replicas []*Server // at the start; roles change

	t testing.TB
}

// slots is the number of hash slots of a Redis Cluster.
const slots = 16384

// StartCluster runs six servers and waits until all slots are served.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for range 3 {
		c.Masters = append(c.Masters, startClusterNode(t))
	}
	for range 3 {
		c.Replicas = append(c.Replicas, startClusterNode(t))
	}
	first := c.Masters[0]
	for i, m := range c.Masters {
		m.Must("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(slots*i/3), strconv.Itoa(slots*(i+1)/3-1))
		m.Must("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	host, _, _ := net.SplitHostPort(first.Addr)
	for _, s := range c.All()[1:] {
		s.Must("CLUSTER", "MEET", host, first.port(), first.busPort())
	}
	for _, s := range c.All() {
		s.await("knows the cluster", func() bool { return s.clusterInfo("cluster_known_nodes") == "6" })
	}
	for i, r := range c.Replicas {
		id := c.Masters[i].Must("CLUSTER", "MYID")
		r.await("knows its master", func() bool { _, err := r.Do("CLUSTER", "REPLICATE", id); return err == nil })
	}
	c.awaitServed()
	for _, r := range c.Replicas {
		r.await("is a replica in sync", func() bool { return r.Info("master_link_status") == "up" })
	}
	return c
}

func startClusterNode(t testing.TB) *Server {
	t.Helper()
	_, bus, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	return Start(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000",
		"--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
}

func (s *Server) busPort() string {
	for i, arg := range s.args {
		if arg == "--cluster-port" {
			return s.args[i+1]
		}
	}
	return ""
}

func (s *Server) clusterInfo(field string) string {
	text, err := s.Do("CLUSTER", "INFO")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == field {
			return value
		}
	}
	return ""
}

// All returns the masters and replicas.
func (c *Cluster) All() []*Server { return append(append([]*Server(nil), c.Masters...), c.Replicas...) }

// URL is what a client is given.
func (c *Cluster) URL() string {
	return fmt.Sprintf("redis://%s?addr=%s&addr=%s", c.Masters[0].Addr, c.Masters[1].Addr, c.Masters[2].Addr)
}

func (c *Cluster) awaitServed() {
	c.t.Helper()
	for _, s := range c.All() {
		s.await("sees all slots served", func() bool { return s.clusterInfo("cluster_state") == "ok" })
	}
}

// AwaitFailover waits until the replica of a killed master has taken over.
func (c *Cluster) AwaitFailover(i int) {
	c.t.Helper()
	await(c.t, "replica becomes master", 20*time.Second, func() bool {
		return c.Replicas[i].Info("role") == "master" && c.Replicas[i].clusterInfo("cluster_state") == "ok"
	})
}

// MoveSlot moves one hash slot with its keys from one master to another, as
// redis-cli does; between is called half-way, while the slot is open.
func (c *Cluster) MoveSlot(slot int, from, to *Server, between func()) {
	c.t.Helper()
	n := strconv.Itoa(slot)
	source, target := from.Must("CLUSTER", "MYID"), to.Must("CLUSTER", "MYID")
	to.Must("CLUSTER", "SETSLOT", n, "IMPORTING", source)
	from.Must("CLUSTER", "SETSLOT", n, "MIGRATING", target)
	between()
	host, port, _ := net.SplitHostPort(to.Addr)
	for {
		keys := strings.Fields(from.Must("CLUSTER", "GETKEYSINSLOT", n, "100"))
		if len(keys) == 0 {
			break
		}
		from.Must(append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, keys...)...)
	}
	to.Must("CLUSTER", "SETSLOT", n, "NODE", target)
	from.Must("CLUSTER", "SETSLOT", n, "NODE", target)
}

// SlotOf returns the hash slot of a key.
func (c *Cluster) SlotOf(key string) int {
	c.t.Helper()
	slot, err := strconv.Atoi(c.Masters[0].Must("CLUSTER", "KEYSLOT", key))
	if err != nil {
		c.t.Fatal(err)
	}
	return slot
}

// MasterOf returns which of the masters at the start serves a slot as long as
// none has moved.
func (c *Cluster) MasterOf(slot int) int {
	for i := range c.Masters {
		if slot < slots*(i+1)/3 {
			return i
		}
	}
	return len(c.Masters) - 1
}
