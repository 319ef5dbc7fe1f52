package redisdir

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
	"go.uber.org/goleak"
)

// A node in a process of its own, which a test can kill and freeze for real:
// the test binary started again, driven by lines on its standard input.
const childEnv = "LIMPET_TEST_DIRECTORY_NODE" // "id process-number redis-url"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		runChild(spec)
		return
	}
	// The goroutine that starts servers lives as long as the process, by design.
	// So do, for seconds after its client was closed, rueidis' waits before it
	// would look at the servers again, and before it closes the connections to
	// those that have left a cluster.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/limpet-gateway/limpet/registry/redisdir/redistest.spawn.func1.1"))
}

func runChild(spec string) {
	t := &childTB{}
	var id, url string
	var process uint64
	if _, err := fmt.Sscan(spec, &id, &process, &url); err != nil {
		panic(err)
	}
	processes.last = process - 0xabc0000 - 1
	n := prepareNode(t, quick(url, id), 1)
	n.dir.SetInboxes(InboxTopic{Name: "limpet.inbox", Partitions: childInboxes})
	n.run()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var from, to int
		line := in.Text()
		switch {
		case scan(line, "open %d %d", &from, &to):
			for i := from; i < to; i++ {
				n.open(fmt.Sprintf("user-%d", i), "everybody")
			}
		case line == "joined":
			n.await(Joined)
		case line == "settled":
			n.settled()
		case line == "inbox":
			if p, ok := n.dir.Inbox(); ok {
				fmt.Println(p)
			} else {
				fmt.Println("none")
			}
		case line == "state":
			fmt.Println(n.dir.State(), n.dir.waiting(), n.dir.Stats().Incarnation)
		case line == "table":
			n.table.Walk(func(e registry.Entry) bool {
				fmt.Println("session", string(e.Principal), e.Session.ID, uint64(e.Session.Epoch))
				return true
			})
			n.table.WalkGroups(func(name []byte, members int) bool {
				fmt.Println("group", string(name), members)
				return true
			})
		case line == "log":
			fmt.Print(n.log)
		default:
			panic("child: " + line)
		}
		fmt.Println("done")
	}
}

func scan(line, format string, args ...any) bool {
	n, err := fmt.Sscanf(line, format, args...)
	return err == nil && n == len(args)
}

// childInboxes is the number of partitions of which each lease one.
const childInboxes = 16

// childTB is what the helpers need of a testing.TB, in a process without one.
type childTB struct{ testing.TB }

func (*childTB) Helper()                   {}
func (*childTB) Cleanup(func())            {}
func (*childTB) Failed() bool              { return false }
func (*childTB) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (*childTB) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (*childTB) Context() context.Context  { return context.Background() }

// child is the test's end of such a process.
type child struct {
	t   testing.TB
	id  string
	cmd *exec.Cmd
	in  io.Writer
	mu  sync.Mutex
	out *bufio.Scanner
}

func startChild(t testing.TB, url, id string) *child {
	t.Helper()
	c := &child{t: t, id: id, cmd: exec.Command(os.Args[0], "-test.run=^$")}
	c.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", childEnv, id, newProcess(), url))
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	c.ask("joined")
	return c
}

// ask sends one command and returns the lines of its answer.
func (c *child) ask(format string, args ...any) []string {
	c.t.Helper()
	lines, err := c.tryAsk(format, args...)
	if err != nil {
		c.t.Fatalf("node %s: %v", c.id, err)
	}
	return lines
}

func (c *child) tryAsk(format string, args ...any) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := fmt.Fprintf(c.in, format+"\n", args...); err != nil {
		return nil, err
	}
	var lines []string
	for c.out.Scan() {
		if c.out.Text() == "done" {
			return lines, nil
		}
		lines = append(lines, c.out.Text())
	}
	return nil, fmt.Errorf("ended: %w", io.ErrUnexpectedEOF)
}

func (c *child) kill() {
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// Walk implements NodeTable.
func (c *child) Walk(_ context.Context, visit func(string, registry.Session)) error {
	lines, err := c.tryAsk("table")
	for _, line := range lines {
		var principal, id string
		var epoch uint64
		if scan(line, "session %s %s %d", &principal, &id, &epoch) {
			parsed, err := session.ParseID(id)
			if err != nil {
				return err
			}
			visit(principal, registry.Session{ID: parsed, Epoch: registry.Epoch(epoch)})
		}
	}
	return err
}

// WalkGroups implements NodeTable.
func (c *child) WalkGroups(_ context.Context, visit func(string, int)) error {
	lines, err := c.tryAsk("table")
	for _, line := range lines {
		var name string
		var members int
		if scan(line, "group %s %d", &name, &members) {
			visit(name, members)
		}
	}
	return err
}

// agreeWithChild is agree for nodes here and one in a process of its own.
func agreeWithChild(t testing.TB, url string, c *child, nodes ...*testNode) {
	t.Helper()
	r, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	tables := map[string]NodeTable{c.id: c}
	for _, n := range nodes {
		tables[n.id] = localTable{n.table}
	}
	eventually(t, 20*time.Second, func() string {
		if state := strings.Fields(c.ask("state")[0]); state[0] != "joined" || state[1] != "0" {
			return fmt.Sprintf("node %s: %v", c.id, state)
		}
		wrong, err := Check(t.Context(), r, tables, 1, 0)
		if err != nil {
			return err.Error()
		}
		if len(wrong) > 0 {
			return fmt.Sprintf("%d disagreements, first %v", len(wrong), wrong[0])
		}
		return ""
	})
}
