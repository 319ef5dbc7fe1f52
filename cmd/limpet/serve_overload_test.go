package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// memoryGroup makes a control group with a limit, which the kernel enforces by
// killing, and returns its directory. It returns "" where this machine lets
// nobody make one.
func memoryGroup(t *testing.T, limit int) string {
	t.Helper()
	for _, c := range []struct{ mount, file string }{
		{"/sys/fs/cgroup", "memory.max"}, {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	} {
		if _, err := os.Stat(filepath.Join(c.mount, "cgroup.procs")); err != nil {
			continue // no control group is mounted there
		}
		dir := filepath.Join(c.mount, fmt.Sprint("limpet-test-", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // until its process is reaped
				if err := os.Remove(dir); err == nil || os.IsNotExist(err) {
					return
				} else if time.Now().After(end) {
					t.Errorf("the control group stays behind: %v", err)
					return
				}
			}
		})
		limits, err := os.OpenFile(filepath.Join(dir, c.file), os.O_WRONLY, 0) // not there without the controller
		if err != nil {
			continue
		}
		_, err = fmt.Fprint(limits, limit)
		limits.Close()
		if err == nil {
			return dir
		}
	}
	return ""
}

// neighbour is a file in memory, which is no page cache, for which a control
// group is charged until it is removed.
type neighbour struct{ group, file string }

func newNeighbour(t *testing.T, group string) *neighbour {
	t.Helper()
	file, err := os.CreateTemp("/dev/shm", "limpet-test-")
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	n := &neighbour{group, file.Name()}
	t.Cleanup(n.remove)
	return n
}

// grow has the group charged for so many bytes more.
func (n *neighbour) grow(t *testing.T, bytes int64) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `echo $$ > "$0/cgroup.procs" && head -c "$1" /dev/zero >> "$2"`, n.group, strconv.FormatInt(bytes, 10), n.file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func (n *neighbour) remove() { _ = os.Remove(n.file) }

// attackers opens connections until it is told to stop, and keeps the latest.
type attackers struct {
	p    *process
	stop chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn // a ring once it is full
	next  int

	opened, refused atomic.Int64 // handshakes
}

// attackConns is how many connections attackers keep: descriptors are as few
// here as there.
const attackConns = 12_000

// upgrade opens a session without the cost of a client library, or returns nil
// and counts the refusal.
func (a *attackers) upgrade(name string) net.Conn {
	// Ports of one address would run out.
	dialer := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+rand.IntN(50)))}}
	c, err := dialer.Dial("tcp", a.p.Listen)
	if err != nil {
		time.Sleep(10 * time.Millisecond)
		return nil
	}
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "GET /ws?id=%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n", name)
	line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
	if err != nil || !strings.Contains(line, " 101 ") {
		if strings.Contains(line, " 503 ") {
			a.refused.Add(1)
		}
		c.Close()
		return nil
	}
	a.opened.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.conns) < attackConns {
		a.conns = append(a.conns, c)
		return c
	}
	a.conns[a.next].Close()
	a.conns[a.next] = c
	a.next = (a.next + 1) % attackConns
	return c
}

// each runs do again and again in n goroutines, with a name that is new.
func (a *attackers) each(n int, kind string, do func(name string)) {
	for i := range n {
		a.done.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-a.stop:
					return
				default:
					do(fmt.Sprintf("%s-%d-%d", kind, i, round))
				}
			}
		})
	}
}

func (a *attackers) end() {
	close(a.stop)
	a.done.Wait()
	for _, c := range a.conns {
		c.Close()
	}
}

// message is a masked binary frame that announces size bytes, at most 65,535,
// and has sent of them.
func message(size, sent int) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x82, 0x80 | 126}, uint16(size))
	return append(b, make([]byte, 4+sent)...) // the mask is zero
}

// Slow readers, large messages and new connections at once, against a gateway
// that the kernel kills if it takes more than the limit: it is not killed, and
// sessions that behave do not notice.
func TestAttackOnMemory(t *testing.T) {
	const limit = 80 << 20
	binary := filepath.Join(t.TempDir(), "limpet")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	group := memoryGroup(t, limit)
	args := []string{"--uplink=echo", "--max-conns=15000"}
	command := []string{binary}
	if group == "" {
		t.Log("no control group can be made here: the budget is artificial")
		args = append(args, "--memory-budget="+strconv.Itoa(limit/10*8)+"B")
	} else {
		command = []string{"sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, group, binary}
	}
	p := startCommand(t, command, args...)

	var good sync.WaitGroup
	over := make(chan struct{})
	quiet := sync.OnceFunc(func() { close(over); good.Wait() })
	defer quiet()
	for i := range 20 {
		c := p.mustDial(fmt.Sprint("good", i))
		good.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				case <-time.After(50 * time.Millisecond):
				}
				_ = c.SetReadDeadline(time.Now().Add(patience))
				if err := echo(c, fmt.Sprint("hello ", n)); err != nil {
					t.Errorf("a session that behaves, after %d echoes: %v", n, err)
					return
				}
			}
		})
	}
	a := &attackers{p: p, stop: make(chan struct{})}
	peace := sync.OnceFunc(a.end)
	defer peace()
	// Slow readers: whole messages, which are echoed, and nothing is read.
	a.each(8, "slow", func(name string) {
		if c := a.upgrade(name); c != nil {
			for range 128 {
				_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond))
				if _, err := c.Write(message(60<<10, 60<<10)); err != nil {
					return
				}
			}
		}
	})
	// Large messages: almost all of one, and then silence.
	a.each(8, "large", func(name string) {
		if c := a.upgrade(name); c != nil {
			_, _ = c.Write(message(60<<10, 59<<10))
		}
	})
	// New connections: as many as will be taken.
	a.each(8, "new", func(name string) { a.upgrade(name) })

	var s struct {
		Overload struct {
			Level         string
			Rung          int
			Evicted, Shed int
		}
		Sessions        int
		Closed, Refused map[string]int
		Memory          struct{ Used, Budget, Unfinished, Outbound int64 }
	}
	highest, most := 0, int64(0)
	begun := time.Now()
	for end := begun.Add(2 * patience); ; time.Sleep(100 * time.Millisecond) {
		p.snapshot(&s)
		highest, most = max(highest, s.Overload.Rung), max(most, s.Memory.Used)
		// On a slow machine newcomers alone do not fill a group's budget.
		if s.Overload.Evicted > 100 && (group != "" || s.Refused["overload"] > 100) && time.Since(begun) > attackTime {
			break
		}
		if time.Now().After(end) {
			t.Errorf("the attack has no effect: %+v", s)
			break
		}
	}
	if group != "" {
		// A neighbour in the group takes what is left of the budget: the last
		// rung, which newcomers alone never reach. Sessions that end meanwhile
		// free memory, so it looks again, but not before its own share is in
		// the gateway's reading.
		taken, looks := newNeighbour(t, group), time.Now()
		for end := time.Now().Add(2 * patience); s.Overload.Shed < 100 || s.Refused["overload"] < 100; time.Sleep(20 * time.Millisecond) {
			if p.snapshot(&s); time.Now().After(end) {
				t.Errorf("nobody is shed or refused: %+v", s)
				break
			}
			highest, most = max(highest, s.Overload.Rung), max(most, s.Memory.Used)
			if left := s.Memory.Budget/100*98 - s.Memory.Used; left > 0 && s.Overload.Rung < 4 && !time.Now().Before(looks) {
				taken.grow(t, left)
				looks = time.Now().Add(2 * time.Second)
			}
		}
		if code, status := p.readyz(); code != http.StatusOK || status != "degraded" {
			t.Errorf("readyz: %d %s", code, status)
		}
		if highest < 4 {
			t.Errorf("level %d at most: %+v", highest, s)
		}
		taken.remove()
	}
	peace()
	// Who is shed counts as closed when its socket ends: for who does not read
	// with the close timeout, or now.
	for end := time.Now().Add(patience); s.Closed["overloaded"] < s.Overload.Shed; time.Sleep(20 * time.Millisecond) {
		if p.snapshot(&s); time.Now().After(end) {
			t.Errorf("who was shed was not closed for it: %+v", s)
			break
		}
	}
	t.Logf("%d sessions opened, %d refused, level %d at most, %d MiB of %d used at most: %+v", a.opened.Load(), a.refused.Load(), highest, most>>20, s.Memory.Budget>>20, s)
	// When it is over newcomers are served again; the last two rungs down are
	// left to the tests of the ladder, since each takes its time.
	for end := time.Now().Add(4 * patience); ; time.Sleep(100 * time.Millisecond) {
		if c, _, err := p.dial("newcomer"); err == nil {
			if err := echo(c, "served again"); err != nil {
				t.Error(err)
			}
			break
		}
		if time.Now().After(end) {
			p.snapshot(&s)
			t.Errorf("newcomers are not served: %+v", s)
			break
		}
	}
	quiet()
	if group != "" {
		for _, file := range []string{"memory.max_usage_in_bytes", "memory.peak"} {
			if b, err := os.ReadFile(filepath.Join(group, file)); err == nil {
				t.Logf("%s: %s of %d", file, strings.TrimSpace(string(b)), limit)
			}
		}
	}
	select {
	case <-p.exited:
		t.Error("the gateway has ended")
	default:
	}
}

// attackTime is how long the attack lasts at least.
const attackTime = 5 * time.Second
