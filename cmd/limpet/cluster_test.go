package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
)

// startCluster runs n nodes on one broker.
func startCluster(t testing.TB, n int, args ...string) []*process {
	t.Helper()
	broker := startEmbedded(t)
	var nodes []*process
	for i := range n {
		nodes = append(nodes, startProcess(t, 0, append([]string{fmt.Sprintf("--node=n%d", i+1), "--kafka=" + broker, "--drain-window=0s"}, args...)...))
	}
	return nodes
}

// Whatever node a user is on, and whatever node or topic a push comes by, it
// arrives once.
func TestPushesAcrossNodes(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2)
	a, b := nodes[0].mustDial("a"), nodes[1].mustDial("b")
	nodes[0].want("POST", "/v1/push", `{"to":["user:a","user:b"],"data":"by HTTP"}`, 200)
	nodes[0].read(a, "by HTTP")
	nodes[1].read(b, "by HTTP")
	nodes[1].want("POST", "/v1/broadcast", `{"data":"all"}`, 200, `"result":"spread"`)
	nodes[0].read(a, "all")
	nodes[1].read(b, "all")
	for name, c := range map[string]*websocket.Conn{"a": a, "b": b} {
		if out, err := exec.Command("limpet", "push", "--kafka", nodes[0].Kafka[0], "--to", "user:"+name, "by Kafka").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		nodes[0].read(c, "by Kafka")
	}
	nodes[0].want("PUT", "/v1/groups/g/members/b", "", 200)
	nodes[0].want("DELETE", "/v1/users/b", "", 200)
	if _, _, err := b.ReadMessage(); !websocket.IsCloseError(err, 4002) {
		t.Errorf("b sees %v, want 4002", err)
	}
}

// A node is killed while it takes pushes from the downlink to the bus: others
// take up what it had not committed, and each user gets each push, in order and
// once.
func TestNodeKilledWhileRouting(t *testing.T) {
	survivor := startCluster(t, 1, "--group-timeout=1s")[0]
	const users, each = 20, 50
	var conns []*websocket.Conn
	for u := range users {
		conns = append(conns, survivor.mustDial(fmt.Sprint("u", u)))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(survivor.Kafka...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	victim := startProcess(t, 0, "--node=victim", "--kafka="+survivor.Kafka[0], "--group-timeout=1s")
	awaitMembers(t, client, "limpet.downlink", 2)
	for i := range each {
		var records []*kgo.Record
		for u := range users {
			p := bridge.Push{To: bridge.Target{Kind: bridge.ToUser, Name: fmt.Sprint("u", u)}, Opcode: session.Text, Payload: fmt.Appendf(nil, "%06d", i)}
			records = append(records, p.Record("limpet.downlink", time.Now()))
		}
		if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		switch i {
		case each / 2: // it has consumed some, and is in the middle of others
			taken := victim.want("GET", "/v1/stats", "", 200)
			if strings.Contains(taken, `"spread":0,`) {
				t.Fatalf("the victim has routed nothing: %s", taken)
			}
			_ = victim.cmd.Process.Kill()
		}
	}
	for u, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		for i := range each {
			if _, got, err := c.ReadMessage(); err != nil || string(got) != fmt.Sprintf("%06d", i) {
				t.Fatalf("u%d got %s, %v; want %06d", u, got, err, i)
			}
		}
		survivor.want("POST", "/v1/push", fmt.Sprintf(`{"to":"user:u%d","data":"last"}`, u), 200)
		survivor.read(c, "last") // and not one of them again
	}
}

// awaitMembers waits until the group is settled with n members.
func awaitMembers(t testing.TB, client *kgo.Client, group string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		groups, err := kadm.NewClient(client).DescribeGroups(ctx, group)
		if ctx.Err() != nil {
			t.Fatalf("group %s never has %d members: %+v, %v", group, n, groups, err)
		}
		settled := len(groups[group].Members) == n && groups[group].State == "Stable"
		for _, m := range groups[group].Members {
			assigned, ok := m.Assigned.AsConsumer()
			settled = settled && ok && len(assigned.Topics) > 0 && len(assigned.Topics[0].Partitions) > 0
		}
		if settled {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
