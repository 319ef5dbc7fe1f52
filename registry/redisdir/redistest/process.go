package redistest

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/freeport"
	"github.com/limpet-gateway/limpet/internal/logtest"
	"github.com/limpet-gateway/limpet/internal/program"
)

const startTimeout = 20 * time.Second

// Require ends the test unless the named programs are installed, which is what
// their packages are called too: see program.Require.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		program.Require(t, name, name)
	}
}

// Server is one redis-server or redis-sentinel process.
type Server struct {
	Addr string

	t       testing.TB
	program string
	args    []string
	dir     string
	cmd     *exec.Cmd
	ended   chan struct{}
	output  *logtest.Log
}

// Start runs one redis-server without persistence; further arguments are its
// options.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	Require(t, "redis-server")
	s := &Server{t: t, program: "redis-server", dir: t.TempDir(), args: append([]string{"--save", "", "--appendonly", "no"}, options...)}
	s.start(freeAddr(t))
	t.Cleanup(s.Kill)
	return s
}

// URL is what a client is given.
func (s *Server) URL() string { return "redis://" + s.Addr }

func (s *Server) port() string { return s.Addr[strings.LastIndexByte(s.Addr, ':')+1:] }

func (s *Server) start(addr string) {
	s.t.Helper()
	s.Addr = addr
	s.output = new(logtest.Log)
	s.ended = make(chan struct{})
	args := append([]string{"--port", s.port(), "--bind", "127.0.0.1", "--dir", s.dir, "--loglevel", "warning"}, s.args...)
	if s.program == "redis-sentinel" {
		args = append([]string{filepath.Join(s.dir, "sentinel.conf")}, args[:4]...)
	}
	s.cmd = exec.Command(s.program, args...)
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := spawn(s.cmd); err != nil {
		s.t.Fatalf("start %s: %v", s.program, err)
	}
	cmd, ended := s.cmd, s.ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	s.await("answers", func() bool {
		select {
		case <-s.ended:
			s.t.Fatalf("%s on %s ended: %s", s.program, s.Addr, s.output)
		default:
		}
		reply, err := s.Do("PING")
		return err == nil && reply == "PONG"
	})
}

// Kill ends the process with SIGKILL and waits for it.
func (s *Server) Kill() {
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// Restart starts a killed server again on its port. It comes up empty.
func (s *Server) Restart() {
	s.t.Helper()
	s.start(s.Addr)
}

// Freeze stops the process with SIGSTOP: its sockets stay and nothing answers.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signal %v to %s: %v", sig, s.Addr, err)
	}
}

// Must is Do, with an error ending the test.
func (s *Server) Must(args ...string) string {
	s.t.Helper()
	reply, err := s.Do(args...)
	if err != nil {
		s.t.Fatalf("%s: %s: %v", s.Addr, strings.Join(args, " "), err)
	}
	return reply
}

// Info returns one field of INFO, or "" where the server does not answer: one
// that changes its role cuts its clients off.
func (s *Server) Info(field string) string {
	text, err := s.Do("INFO", "everything")
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

// UsedMemory is what Redis' allocator has given out, in bytes.
func (s *Server) UsedMemory() int {
	s.t.Helper()
	n, err := strconv.Atoi(s.Info("used_memory"))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *Server) await(what string, done func() bool) {
	s.t.Helper()
	await(s.t, s.program+" on "+s.Addr+" "+what, startTimeout, done)
}

func await(t testing.TB, what string, limit time.Duration, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", limit, what)
		}
	}
}

func freeAddr(t testing.TB) string {
	t.Helper()
	addr, err := freeport.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// spawn starts cmd from a thread that lives as long as this process: Linux
// sends a child its parent-death signal when the thread that made it ends.
func spawn(cmd *exec.Cmd) error {
	spawner.Do(func() {
		go func() {
			runtime.LockOSThread()
			for start := range starts {
				start()
			}
		}()
	})
	done := make(chan error)
	starts <- func() { done <- cmd.Start() }
	return <-done
}

var (
	spawner sync.Once
	starts  = make(chan func())
)
