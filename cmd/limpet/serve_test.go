package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/client"
)

// A new user's first five minutes, as the README tells them.
func TestFirstFiveMinutes(t *testing.T) {
	p := startProcess(t, 0, "--drain-window=1s")
	if code, status := p.readyz(); code != 200 || status != "ready" {
		t.Fatalf("readyz: %d %s", code, status)
	}

	tail := exec.Command("limpet", "tail", "--api", p.API)
	tail.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := tail.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tail.Process.Kill(); _ = tail.Wait() })
	if line, err := bufio.NewReader(stderr).ReadString('\n'); err != nil || !strings.Contains(line, "tailing limpet.uplink") {
		t.Fatalf("tail says %q, %v", line, err)
	}

	c := p.mustDial("dev1")
	if err := c.WriteMessage(websocket.TextMessage, []byte("21.5 degrees")); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		lines <- line
	}()
	select {
	case line := <-lines:
		if !strings.Contains(line, "dev1") || !strings.Contains(line, "text") || !strings.Contains(line, "21.5 degrees") {
			t.Fatalf("tail shows %q", line)
		}
	case <-time.After(patience):
		t.Fatal("tail shows nothing")
	}

	push := exec.Command("limpet", "push", "--api", p.API, "--to", "user:dev1", "hello")
	if b, err := push.CombinedOutput(); err != nil {
		t.Fatalf("push: %v: %s", err, b)
	}
	if _, got, err := c.ReadMessage(); err != nil || string(got) != "hello" {
		t.Fatalf("dev1 got %q, %v", got, err)
	}

	p.signal(syscall.SIGINT)
	var closed *websocket.CloseError
	if _, _, err := c.ReadMessage(); !errors.As(err, &closed) || closed.Code != 1012 || !strings.HasPrefix(closed.Text, "retry=") {
		t.Fatalf("at the end dev1 sees %v", err)
	}
	c.Close()
	if code := p.waitExit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := startProcess(t, 0, "--uplink=echo", "--drain-window=1m")
	for i := range 20 {
		p.mustDial(fmt.Sprint("dev", i))
	}
	p.signal(syscall.SIGTERM)
	deadline := time.Now().Add(patience)
	for _, status := p.readyz(); status != "draining"; _, status = p.readyz() {
		if time.Now().After(deadline) {
			t.Fatalf("readyz says %s after SIGTERM", status)
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(2 * sameSignal)
	start := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.waitExit(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

// More clients than descriptors: none of the established sessions is lost,
// newcomers are told when to come back, and service resumes when some leave.
func TestMoreClientsThanDescriptors(t *testing.T) {
	for _, tables := range []string{"shared", "per-loop"} {
		t.Run(tables, func(t *testing.T) {
			const nofile = 400
			p := startProcess(t, nofile, "--uplink=echo", "--loops=2", "--fd-tables="+tables, "--retry-after=3s")
			var in []*websocket.Conn
			refused := 0
			for i := 0; refused < 50; i++ {
				if i > 4*nofile {
					t.Fatalf("%d sessions with %d descriptors", len(in), nofile)
				}
				c, resp, err := p.dial(fmt.Sprint("dev", i))
				if err == nil {
					in = append(in, c)
					continue
				}
				refused++
				if resp == nil {
					continue // a reset: refused beyond those who may linger
				}
				if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "3" {
					t.Fatalf("newcomer %d: %s, Retry-After %q", i, resp.Status, resp.Header.Get("Retry-After"))
				}
			}
			if least := nofile / 2; len(in) < least {
				t.Errorf("%d sessions fit %d descriptors, want at least %d", len(in), nofile, least)
			}
			if tables == "per-loop" && len(in) <= nofile {
				t.Errorf("%d sessions: two tables of %d hold no more than one", len(in), nofile)
			}
			for i, c := range in {
				if err := echo(c, "still here"); err != nil {
					t.Fatalf("session %d of %d: %v", i, len(in), err)
				}
			}
			for _, c := range in[:len(in)/2] {
				c.Close()
			}
			deadline := time.Now().Add(patience)
			for {
				c, _, err := p.dial("again")
				if err == nil {
					if err := echo(c, "served again"); err != nil {
						t.Fatal(err)
					}
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("service does not resume: %v", err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

// Clients that take every place, and others that connect to the API and to the
// embedded broker as often as they can, do not take the descriptor that an
// event loop needs to accept: no session is lost.
func TestOthersLeaveTheLastDescriptors(t *testing.T) {
	const nofile = 300
	p := startProcess(t, nofile, "--loops=2", "--fd-tables=shared")
	var in []*websocket.Conn
	for {
		c, resp, err := p.dial(fmt.Sprint("dev", len(in)))
		if err == nil {
			in = append(in, c)
			continue
		}
		if resp == nil || resp.StatusCode != 503 {
			t.Fatalf("newcomer %d: %v (%v)", len(in), err, resp)
		}
		break
	}
	var others []net.Conn
	for _, addr := range []string{p.API, p.Kafka[0]} {
		for range nofile {
			c, err := net.DialTimeout("tcp", addr, patience)
			if err != nil {
				break // full: that is for them to bear
			}
			defer c.Close()
			others = append(others, c)
		}
	}
	for range 20 { // more than one round of the loops
		if c, resp, err := p.dial("late"); err == nil || resp != nil && resp.StatusCode != 503 {
			if c != nil {
				c.Close()
			}
			t.Fatalf("a newcomer got in, or something else than 503: %v %v", resp, err)
		}
	}
	for i, c := range in {
		pong := make(chan struct{})
		c.SetPongHandler(func(string) error { close(pong); return errors.New("enough") })
		if err := c.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)); err != nil {
			t.Fatalf("session %d of %d: %v", i, len(in), err)
		}
		_, _, err := c.ReadMessage()
		select {
		case <-pong:
		default:
			t.Fatalf("session %d of %d: %v", i, len(in), err)
		}
	}
	for _, c := range others {
		c.Close()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		// API and broker serve again, with all clients still there.
		b, err := exec.Command("limpet", "push", "--api", p.API, "--to", "all", "hello").CombinedOutput()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("push: %v: %s", err, b)
		}
	}
}

// A signal ends a gateway that waits for a Kafka that does not answer.
func TestSignalDuringStart(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	cmd := exec.Command("limpet", "serve", "--listen=127.0.0.1:0", "--api=127.0.0.1:0", "--kafka="+mute.Addr().String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	asks, err := mute.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	begun := time.Now()
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
	if code, took := cmd.ProcessState.ExitCode(), time.Since(begun); code != exitFailed || took > 6*time.Second {
		t.Errorf("exit code %d after %v", code, took)
	}
}

// What loops and refused connections need lies within the reserve, however many
// loops there are: a flood of newcomers that do not go away costs nobody a session.
func TestManyLoopsFewDescriptors(t *testing.T) {
	for _, test := range []struct {
		name   string
		nofile int
		args   []string
	}{
		{"shared", 512, []string{"--loops=32", "--fd-tables=shared"}},
		{"per-loop", 512, []string{"--max-conns=2000"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := startProcess(t, test.nofile, append(test.args, "--uplink=echo")...)
			var in []*websocket.Conn
			for refused := 0; refused < 10; {
				c, _, err := p.dial(fmt.Sprint("dev", len(in)))
				if err != nil {
					refused++
					continue
				}
				in = append(in, c)
			}
			for range 600 {
				c, err := net.Dial("tcp", p.Listen)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			for i, c := range in {
				if err := echo(c, "still here"); err != nil {
					t.Fatalf("session %d of %d: %v", i, len(in), err)
				}
			}
		})
	}
}

// SIGTERM with thousands of sessions: each sees 1012, spread over the window,
// and what was accepted from them is in Kafka.
func TestDrainLosesNothing(t *testing.T) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	sessions := min(5000, int(lim.Cur)/3)
	const (
		each   = 3
		window = 5 * time.Second
	)
	broker := startEmbedded(t)
	p := startProcess(t, 0, "--kafka="+broker, "--drain-window="+window.String())

	conns := make([]*websocket.Conn, sessions)
	var dialers sync.WaitGroup
	for w := range 8 {
		dialers.Go(func() {
			for i := w; i < sessions; i += 8 {
				c, _, err := p.dial(fmt.Sprint("dev", i))
				if err != nil {
					t.Errorf("dial %d: %v", i, err)
					return
				}
				conns[i] = c
			}
		})
	}
	dialers.Wait()
	if t.Failed() {
		return
	}

	var mu sync.Mutex
	var ends []time.Time
	var accepted, gone sync.WaitGroup
	accepted.Add(sessions)
	for i, c := range conns {
		gone.Go(func() {
			// The pong follows the messages on the same loop: once it is
			// here, they were accepted.
			var once sync.Once
			c.SetPongHandler(func(string) error { once.Do(accepted.Done); return nil })
			defer once.Do(accepted.Done)
			for k := range each {
				if err := c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "%d/%d", i, k)); err != nil {
					t.Errorf("session %d: %v", i, err)
				}
			}
			_ = c.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience))
			_, _, err := c.ReadMessage()
			var closed *websocket.CloseError
			if !errors.As(err, &closed) || closed.Code != 1012 {
				t.Errorf("session %d saw %v", i, err)
				return
			}
			if ms, err := strconv.Atoi(strings.TrimPrefix(closed.Text, "retry=")); err != nil || ms <= 0 {
				t.Errorf("session %d: reason %q", i, closed.Text)
			}
			mu.Lock()
			ends = append(ends, time.Now())
			mu.Unlock()
			c.Close()
		})
	}
	accepted.Wait()
	start := time.Now()
	p.signal(syscall.SIGTERM)
	gone.Wait()
	if code := p.waitExit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if len(ends) != sessions {
		t.Fatalf("%d of %d saw a close", len(ends), sessions)
	}
	quarters := [4]int{}
	for _, end := range ends {
		quarters[min(3, int(4*end.Sub(start)/window))]++
	}
	for q, n := range quarters {
		if n < sessions/10 {
			t.Errorf("only %d of %d closes in quarter %d of the window: %v", n, sessions, q+1, quarters)
		}
	}

	want := sessions * each
	seen := map[string]bool{}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	enough := errors.New("enough")
	err := client.Tail(ctx, client.TailOptions{Brokers: []string{broker}, Topics: bridge.NewTopics(bridge.DefaultTopicPrefix), FromBeginning: true}, func(m *client.Message) error {
		seen[m.Principal+" "+string(m.Payload)] = true
		if len(seen) == want {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("%d of %d accepted messages are in Kafka: %v", len(seen), want, err)
	}
}
