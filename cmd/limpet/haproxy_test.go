package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/program"
)

// haproxy runs HAProxy before the gateway at backend, with one port for each
// version of the PROXY protocol, and returns their addresses. It checks the
// gateway with HTTP requests of its own. The sockets are opened here and
// inherited, so nobody else can have taken their ports.
func haproxy(t *testing.T, backend string) (v1, v2 string) {
	t.Helper()
	path := program.Require(t, "haproxy", "haproxy")
	var addrs [2]string
	var sockets []*os.File
	for i := range addrs {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs[i] = listener.Addr().String()
		socket, err := listener.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		defer socket.Close()
		sockets = append(sockets, socket)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(fmt.Sprintf(`
global
    maxconn 1000
defaults
    mode tcp
    timeout connect 30s
    timeout client 5m
    timeout server 5m
    option httpchk GET /ws
    http-check expect rstatus ^4
    default-server check inter 100ms fall 1000
listen version1
    bind fd@3
    server gateway %[1]s send-proxy
listen version2
    bind fd@4
    server gateway %[1]s send-proxy-v2 proxy-v2-options crc32c,unique-id
`, backend)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-db", "-f", file)
	cmd.ExtraFiles = sockets
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("HAProxy's log:\n%s", output.String())
		}
	})
	return addrs[0], addrs[1]
}

// dialFrom opens a session through a load balancer at addr, from an address of
// this host.
func (p *process) dialFrom(source, addr, name string) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{
		HandshakeTimeout: patience,
		NetDialContext:   (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).DialContext,
	}
	c, resp, err := d.Dial("ws://"+addr+"/ws?id="+name, nil)
	if err == nil {
		p.t.Cleanup(func() { c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(2 * patience))
	}
	return c, resp, err
}

// Behind a real HAProxy, with both versions of the protocol, a client is who it
// is: for its limits, the webhook, the log and the events. HAProxy's own checks
// are answered as anybody's.
func TestBehindHAProxy(t *testing.T) {
	var mu sync.Mutex
	told := map[string]string{} // address by name, as the webhook was told
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var facts struct{ Query, Remote string }
		if err := json.NewDecoder(r.Body).Decode(&facts); err != nil {
			t.Error(err)
		}
		name := strings.TrimPrefix(facts.Query, "id=")
		mu.Lock()
		told[name] = facts.Remote
		mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]string{"principal": name})
	}))
	t.Cleanup(hook.Close)
	p := startProcess(t, 0, "--proxy-trusted=127.0.0.1", "--conns-per-ip=2", "--auth=webhook", "--webhook-url="+hook.URL, "--drain-window=0s")
	v1, v2 := haproxy(t, p.Listen)
	p.want("PUT", "/v1/debug/dev3", "", 200)

	var open []*websocket.Conn
	for i, c := range []struct{ source, addr string }{{"127.0.0.5", v1}, {"127.0.0.5", v2}, {"127.0.0.6", v1}, {"127.0.0.7", v2}} {
		conn, resp, err := p.dialFrom(c.source, c.addr, fmt.Sprint("dev", i))
		if err != nil {
			t.Fatalf("dev%d: %v, %v", i, err, resp)
		}
		open = append(open, conn)
	}
	for _, addr := range []string{v1, v2} {
		_, resp, err := p.dialFrom("127.0.0.5", addr, "late")
		if err == nil || resp == nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("a third connection of one address: %v, %v", err, resp)
		}
	}
	open[0].Close()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, _, err := p.dialFrom("127.0.0.5", v2, "again"); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("not served although a connection has ended: %v", err)
		}
	}

	want := map[string]string{"dev0": "127.0.0.5", "dev1": "127.0.0.5", "dev2": "127.0.0.6", "dev3": "127.0.0.7", "again": "127.0.0.5"}
	mu.Lock()
	for name, addr := range want {
		if told[name] != addr {
			t.Errorf("the webhook was told that %s comes from %q, want %s", name, told[name], addr)
		}
	}
	if addr, asked := told["late"]; asked {
		t.Errorf("the webhook was asked for a connection beyond the limit, from %s", addr)
	}
	mu.Unlock()
	begun := func(events []bridge.Event) map[string]string {
		remotes := map[string]string{}
		for _, e := range events {
			if e.Kind == bridge.Connected {
				remotes[e.Principal] = e.Remote
			}
		}
		return remotes
	}
	events := p.events(func(events []bridge.Event) bool { return len(begun(events)) == len(want) })
	for name, addr := range begun(events) {
		if want[name] != addr {
			t.Errorf("the event says that %s comes from %q, want %q", name, addr, want[name])
		}
	}
	p.waitLog("watched: session opened", `"principal":"dev3"`, `"remote":"127.0.0.7:`)

	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		_, values := p.scrape()
		if n := values[`limpet_refusals_total{reason="proxy_header"}`]; n != 0 {
			t.Fatalf("%v connections of HAProxy were refused for their header", n)
		}
		if values[`limpet_refusals_total{reason="request"}`] >= 4 { // of its checks
			break
		}
		if time.Now().After(end) {
			t.Fatal("HAProxy's checks get no answer")
		}
	}
}
