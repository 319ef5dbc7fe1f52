package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience bounds the wait for what must happen, on a busy machine too.
const patience = 30 * time.Second

// process is a gateway started as an operator starts it.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	Listen string
	API    string
	Kafka  []string
	exited chan struct{}

	mu  sync.Mutex
	log []string
}

// startProcess runs limpet serve on free ports with nofile descriptors (0 is
// what this process has) and returns when it serves. It is killed when the
// test ends, if it still runs then.
func startProcess(t testing.TB, nofile int, args ...string) *process {
	t.Helper()
	command := []string{"limpet"}
	if nofile > 0 {
		command = []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec limpet "$@"`, nofile), "limpet"}
	}
	return startCommand(t, command, args...)
}

// startCommand is startProcess for another way to run limpet.
func startCommand(t testing.TB, command []string, args ...string) *process {
	t.Helper()
	args = append([]string{"serve", "--listen=127.0.0.1:0", "--api=127.0.0.1:0", "--log-format=json", "--node=test"}, args...)
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)], args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, exited: make(chan struct{})}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("the gateway's log:\n%s", strings.Join(p.log, "\n"))
		}
	})
	serving := make(chan struct{})
	go func() {
		defer close(p.exited)
		var once sync.Once
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var record struct {
				Msg, Listen, API string
				Kafka            []string
			}
			if json.Unmarshal(lines.Bytes(), &record) == nil && record.Msg == "serving" {
				p.Listen, p.API, p.Kafka = record.Listen, record.API, record.Kafka
				once.Do(func() { close(serving) })
			}
			p.mu.Lock()
			p.log = append(p.log, lines.Text())
			p.mu.Unlock()
		}
		_ = cmd.Wait()
	}()
	select {
	case <-serving:
	case <-p.exited:
		t.Fatal("the gateway ended before it served")
	case <-time.After(patience):
		t.Fatal("the gateway does not serve")
	}
	return p
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// waitExit returns the exit code.
func (p *process) waitExit() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("the gateway does not end")
		return 0
	}
}

// dial opens a session of the principal name.
func (p *process) dial(name string) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{HandshakeTimeout: patience, ReadBufferSize: 512, WriteBufferSize: 512}
	c, resp, err := d.Dial("ws://"+p.Listen+"/ws?id="+name, nil)
	if err == nil {
		p.t.Cleanup(func() { c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(2 * patience))
	}
	return c, resp, err
}

func (p *process) mustDial(name string) *websocket.Conn {
	p.t.Helper()
	c, resp, err := p.dial(name)
	if err != nil {
		p.t.Fatalf("dial as %s: %v (%v)", name, err, resp)
	}
	return c
}

// snapshot decodes /v1/snapshot into document.
func (p *process) snapshot(document any) {
	p.t.Helper()
	resp, err := http.Get("http://" + p.API + "/v1/snapshot")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(document); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) readyz() (int, string) {
	p.t.Helper()
	resp, err := http.Get("http://" + p.API + "/readyz")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var report struct{ Status string }
	_ = json.NewDecoder(resp.Body).Decode(&report)
	return resp.StatusCode, report.Status
}

func echo(c *websocket.Conn, text string) error {
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		return err
	}
	_, got, err := c.ReadMessage()
	if err == nil && string(got) != text {
		err = fmt.Errorf("got %q for %q", got, text)
	}
	return err
}
