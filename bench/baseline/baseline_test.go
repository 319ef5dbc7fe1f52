package baseline_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// start builds and starts one of the servers and returns its address.
func start(t *testing.T, name string, args ...string) (addr, vars string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", bin, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	addr, vars = freeAddr(t), ""
	args = append([]string{"-listen", addr}, args...)
	if vars = addr; name == "gnet" {
		vars = freeAddr(t)
		args = append(args, "-vars", vars)
	}
	cmd := exec.Command(bin, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return addr, vars
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func dial(t *testing.T, addr string) *websocket.Conn {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws", nil)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			return c
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func expect(t *testing.T, c *websocket.Conn, kind int, want string) {
	t.Helper()
	got, data, err := c.ReadMessage()
	if err != nil || got != kind || string(data) != want {
		t.Fatalf("got opcode %d with %d bytes %.40q (%v), want %d with %d bytes %.40q", got, len(data), data, err, kind, len(want), want)
	}
}

func goroutines(t *testing.T, vars string) int {
	t.Helper()
	r, err := http.Get("http://" + vars + "/debug/vars")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var v struct {
		Goroutines int
		Memstats   struct{ HeapAlloc uint64 }
	}
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	if v.Memstats.HeapAlloc == 0 {
		t.Fatal("no memstats")
	}
	return v.Goroutines
}

func TestServers(t *testing.T) {
	for _, c := range []struct {
		name    string
		args    []string
		perConn int // goroutines
	}{
		{"nethttp", nil, 2}, {"gin", nil, 2}, {"echo", nil, 2}, {"gnet", nil, 0},
		{"nethttp", []string{"-goroutines", "1"}, 1}, {"gin", []string{"-goroutines", "1"}, 1}, {"echo", []string{"-goroutines", "1"}, 1},
	} {
		t.Run(c.name+strings.Join(c.args, ""), func(t *testing.T) {
			addr, vars := start(t, c.name, c.args...)
			first := dial(t, addr)
			// Echo, with the opcode kept.
			for _, size := range []int{0, 1, 125, 126, 5000, 60_000} {
				payload := strings.Repeat("x", size)
				if err := first.WriteMessage(websocket.BinaryMessage, []byte(payload)); err != nil {
					t.Fatal(err)
				}
				expect(t, first, websocket.BinaryMessage, payload)
			}
			if err := first.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			expect(t, first, websocket.TextMessage, "hello")
			// A ping is answered.
			pong := make(chan string, 1)
			first.SetPongHandler(func(s string) error { pong <- s; return nil })
			if err := first.WriteControl(websocket.PingMessage, []byte("p"), time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			// Broadcast reaches every connection once, the sender too.
			conns := []*websocket.Conn{first}
			for range 9 {
				conns = append(conns, dial(t, addr))
			}
			for _, conn := range conns { // each has had an answer, so the hub knows it
				if err := conn.WriteMessage(websocket.TextMessage, []byte("ready")); err != nil {
					t.Fatal(err)
				}
				expect(t, conn, websocket.TextMessage, "ready")
			}
			if got := <-pong; got != "p" {
				t.Fatalf("pong %q", got)
			}
			if err := first.WriteMessage(websocket.BinaryMessage, []byte("!broadcast to all")); err != nil {
				t.Fatal(err)
			}
			for _, conn := range conns {
				expect(t, conn, websocket.BinaryMessage, "to all")
			}
			// The cost that the name promises, in goroutines.
			before := goroutines(t, vars)
			for range 50 {
				conn := dial(t, addr)
				if err := conn.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
					t.Fatal(err)
				}
				expect(t, conn, websocket.TextMessage, "x")
			}
			if grown := goroutines(t, vars) - before; grown < 50*c.perConn-2 || grown > 50*c.perConn+2 {
				t.Fatalf("50 connections took %d goroutines, want %d", grown, 50*c.perConn)
			}
		})
	}
}
