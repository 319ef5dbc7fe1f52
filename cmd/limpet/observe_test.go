package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/limpet-gateway/limpet/internal/telemetry"
)

// limpet runs a command against p's API to its end.
func (p *process) limpet(args ...string) (stdout string) {
	p.t.Helper()
	cmd := exec.Command("limpet", append(args, "--api", p.API)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("limpet %s: %v: %s", strings.Join(args, " "), err, &faults)
	}
	return out.String()
}

func (p *process) request(method, path, body string) (int, string) {
	p.t.Helper()
	r, err := http.NewRequest(method, "http://"+p.API+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// waitLog waits for a record of the gateway's log that holds all words.
func (p *process) waitLog(words ...string) string {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		lines := append([]string(nil), p.log...)
		p.mu.Unlock()
	next:
		for _, line := range lines {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue next
				}
			}
			return line
		}
	}
	p.t.Fatalf("no record with %q", words)
	return ""
}

func TestStats(t *testing.T) {
	t.Parallel()
	p := startProcess(t, 0)
	c := p.mustDial("dev1")
	p.mustDial("dev2")
	if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	var s telemetry.Snapshot
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if err := json.Unmarshal([]byte(p.limpet("stats", "--json")), &s); err != nil {
			t.Fatal(err)
		}
		if s.Uplink != nil && s.Uplink.LatencySum > 0 && s.Memory.Loops > 0 || time.Now().After(deadline) {
			break
		}
	}
	if s.Node != "test" || s.Status != "ready" || s.Sessions != 2 || s.Principals != 2 || s.Messages.In != 1 || s.Connections.Open != 2 ||
		s.Connections.Limit == 0 || s.Uplink == nil || s.Uplink.Accepted != 1 || s.Uplink.LatencySum <= 0 || s.Downlink == nil || s.HostError != "" {
		t.Errorf("%+v, uplink %+v, downlink %+v", s, s.Uplink, s.Downlink)
	}
	if m := s.Memory; m.Resident < 1<<20 || m.Loops < 64<<10 || m.Registry < 16<<10 || s.BytesPerSession != m.Resident/2 {
		t.Errorf("memory %+v, %d a session", m, s.BytesPerSession)
	}
	if text := p.limpet("stats"); !strings.Contains(text, "node test, ready") || !strings.Contains(text, "2 of 2 principals") {
		t.Errorf("as text:\n%s", text)
	}
}

// Each kind of profile is one that go tool pprof reads, of this gateway.
func TestProfile(t *testing.T) {
	t.Parallel()
	p := startProcess(t, 0, "--uplink=echo")
	c := p.mustDial("dev1")
	done := make(chan struct{})
	go func() { // something to see
		defer close(done)
		for echo(c, "x") == nil {
		}
	}()
	for kind, want := range map[string]string{"cpu": "gnet", "heap": "Type: alloc_objects", "goroutine": "serve"} {
		file := filepath.Join(t.TempDir(), kind+".pprof")
		if out := p.limpet("profile", kind, "--time", "1s", "-o", file); !strings.Contains(out, "go tool pprof") {
			t.Errorf("%s: %s", kind, out)
		}
		top, err := exec.Command("go", "tool", "pprof", "-top", "-sample_index=0", file).CombinedOutput()
		if err != nil || !strings.Contains(string(top), want) {
			t.Errorf("%s: %v, want %q in\n%.2000s", kind, err, want, top)
		}
	}
	c.Close()
	<-done
}

func TestLogLevelAtRunTime(t *testing.T) {
	p := startProcess(t, 0, "--uplink=echo")
	for _, level := range []string{"error", "debug"} {
		if code, body := p.request("PUT", "/v1/log", `{"level":"`+level+`"}`); code != 200 || !strings.Contains(body, level) {
			t.Fatalf("%d %s", code, body)
		}
	}
	if code, body := p.request("PUT", "/v1/log", `{"level":"loud"}`); code != 400 || !strings.Contains(body, "loud") {
		t.Fatalf("%d %s", code, body)
	}
	p.waitLog("log level changed", `"from":"error"`, `"to":"debug"`)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		if strings.Contains(line, `"to":"error"`) {
			t.Errorf("logged above its level: %s", line)
		}
	}
}

// One device is shown in a log that is otherwise quiet.
func TestDebugOneDevice(t *testing.T) {
	p := startProcess(t, 0, "--uplink=echo")
	if code, body := p.request("PUT", "/v1/debug/site-1/dev1?for=1m&payload=64", ""); code != 200 || !strings.Contains(body, `"site-1/dev1"`) {
		t.Fatalf("%d %s", code, body)
	}
	for _, name := range []string{"site-1/dev1", "dev2"} {
		if err := echo(p.mustDial(name), "hello from "+name); err != nil {
			t.Fatal(err)
		}
	}
	p.waitLog("session opened", "site-1/dev1", `"remote":"127.0.0.1`)
	p.waitLog("message received", "site-1/dev1", "hello from site-1/dev1")
	if _, body := p.request("GET", "/v1/debug", ""); !strings.Contains(body, "site-1/dev1") {
		t.Errorf("the list: %s", body)
	}
	if code, _ := p.request("DELETE", "/v1/debug/site-1/dev1", ""); code != 204 {
		t.Errorf("end: %d", code)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		if strings.Contains(line, "dev2") {
			t.Errorf("somebody else is logged: %s", line)
		}
	}
}

// screen is a terminal that remembers what was written to it.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// pty returns both ends of a new terminal of 100 columns and 30 rows, and
// reads what is written to it until the test ends.
func pty(t *testing.T) (keys *os.File, terminal *os.File, seen *screen) {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(ptmx.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen = &screen{}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := ptmx.Read(buf)
			if err != nil {
				return // EIO when the last user of the terminal has gone
			}
			seen.mu.Lock()
			seen.b.Write(buf[:n])
			seen.mu.Unlock()
		}
	}()
	t.Cleanup(func() { ptmx.Close(); terminal.Close() })
	return ptmx, terminal, seen
}

// top shows a running gateway in a real terminal, follows it, and leaves at q.
func TestTop(t *testing.T) {
	t.Parallel()
	p := startProcess(t, 0, "--uplink=echo")
	keys, terminal, seen := pty(t)
	top := exec.Command("limpet", "top", "--api", p.API, "--interval", "100ms")
	top.Env = append(os.Environ(), "TERM=xterm-256color")
	top.Stdin, top.Stdout, top.Stderr = terminal, terminal, terminal
	top.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := top.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- top.Wait() }()
	t.Cleanup(func() { _ = top.Process.Kill() })
	shows := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(patience); !strings.Contains(seen.text(), want); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%q is not on the screen: %q", want, seen.text())
			}
		}
	}
	shows("node test, ready")
	shows("0 of 0 principals")
	for i := range 3 {
		p.mustDial(fmt.Sprint("dev", i))
	}
	shows("3 of 3 principals")
	if _, err := keys.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("q does not end it")
	}
}
