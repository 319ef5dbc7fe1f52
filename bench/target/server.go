package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/limpet-gateway/limpet/bench/probe"
)

// Server is what a benchmark measures.
type Server struct {
	Name    string         // as given to --spawn, or the address
	Addr    netip.AddrPort // of the WebSocket listener
	Host    string         // Host header
	Path    string         // path and query; "{n}" stands for the connection's number
	PID     int            // 0: not on this machine, so there are no figures of memory and CPU
	Doubt   string         // why PID may be of another process; empty: it is not
	Command []string       // empty when it was not started here
	Metrics string         // URL of /metrics or /debug/vars; empty: none
	API     string         // host:port of limpet's HTTP API; empty for others
	// Broadcasts says that "!broadcast TEXT" makes the server send TEXT to all.
	Broadcasts bool
	cmd        *exec.Cmd
	unwatch    func() error // nil unless it is looked at all the time
	output     tail
	exited     chan struct{} // closed when a child has ended; nil without one
}

// stopGrace is what a server gets to end after SIGTERM.
const stopGrace = 5 * time.Second

// start runs the command. The child has a process group of its own, so that
// Ctrl-C reaches the benchmark alone, and does not outlive it.
func (s *Server) start() error {
	s.cmd = exec.Command(s.Command[0], s.Command[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	s.PID = s.cmd.Process.Pid
	s.exited = make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // how it ended is in ProcessState
		close(s.exited)
	}()
	return nil
}

// ErrExited is wrapped by what Failure returns.
var ErrExited = errors.New("the server ended during the run")

// Failure is nil while the server runs, and says how it ended when it has.
// For a server that was not started here it knows only whether PID exists.
func (s *Server) Failure() error {
	if s.exited != nil {
		select {
		case <-s.exited:
			return fmt.Errorf("%s (process %d): %w: %v%s", s.Name, s.PID, ErrExited, s.cmd.ProcessState, s.output.quoted())
		default:
			return nil
		}
	}
	if s.PID != 0 && !probe.Host().Alive(s.PID) {
		return fmt.Errorf("%s (process %d): %w", s.Name, s.PID, ErrExited)
	}
	return nil
}

// Stop ends a server that was started here.
func (s *Server) Stop() {
	if s.exited == nil {
		return
	}
	if s.unwatch != nil {
		_ = s.unwatch() // the figures are taken
	}
	_ = syscall.Kill(-s.PID, syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(stopGrace):
		_ = syscall.Kill(-s.PID, syscall.SIGKILL)
		<-s.exited
	}
}

// waitReady probes until an upgrade succeeds.
func (s *Server) waitReady(ctx context.Context) error {
	var last error
	for {
		if err := s.Failure(); err != nil {
			return fmt.Errorf("%s did not start: %v%s", s.Name, s.cmd.ProcessState, s.output.quoted())
		}
		if last = s.Probe(ctx); last == nil {
			last = s.probeAPI(ctx)
		}
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w%s", s.Name, startGrace, last, s.output.quoted())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// probeAPI asks a gateway whether all of it has started: clients are served a
// moment before its API answers.
func (s *Server) probeAPI(ctx context.Context) error {
	if s.API == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.API+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is read from it
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("its API answers %s", resp.Status)
	}
	return nil
}

// tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte // guarded by mu
}

const tailBytes = 4096

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - tailBytes; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(b), nil
}

func (t *tail) quoted() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.buf) == 0 {
		return ""
	}
	return "; its last words:\n" + string(t.buf)
}

// executable says whether path is a program.
func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
