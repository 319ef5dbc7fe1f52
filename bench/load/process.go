package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is one client process as its parent sees it. Its methods are safe
// for concurrent use.
type process struct {
	number int
	cmd    *exec.Cmd
	stderr tail
	ready  chan error    // one value
	gone   chan struct{} // closed when the process has ended and was read out

	mu      sync.Mutex
	in      io.WriteCloser     // guarded by mu
	enc     *json.Encoder      // guarded by mu
	waiting map[int]chan reply // guarded by mu; each takes one value
	last    Stats              // guarded by mu
}

// startProcess starts a worker. It has a process group of its own, so that
// Ctrl-C reaches the parent alone, and ends when its input does.
func startProcess(command, env []string, cfg Config, complete chan<- Broadcast) (*process, error) {
	p := &process{
		number: cfg.Worker, ready: make(chan error, 1), gone: make(chan struct{}),
		waiting: make(map[int]chan reply), last: Stats{Counts: newCounts()},
	}
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env = append(append(os.Environ(), quietRuntime()...), env...)
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("client process: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("client process: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("client process: %w", err)
	}
	p.in, p.enc = in, json.NewEncoder(in)
	go p.listen(out, complete)
	if err := p.send(cfg); err != nil {
		p.stop()
		return nil, p.wrap(err)
	}
	return p, nil
}

// listen reads replies until the process ends.
func (p *process) listen(out io.Reader, complete chan<- Broadcast) {
	dec := json.NewDecoder(bufio.NewReaderSize(out, 64<<10))
	for {
		var r reply
		if dec.Decode(&r) != nil {
			break
		}
		switch {
		case r.Complete != nil:
			select {
			case complete <- *r.Complete:
			default: // nobody waits for it; the totals come with the end
			}
		case r.Stats != nil:
			p.mu.Lock()
			p.last = *r.Stats
			p.mu.Unlock()
		case r.Ready:
			p.ready <- nil
		case r.ID == 0 && r.Error != "":
			p.ready <- errors.New(r.Error)
		default:
			p.mu.Lock()
			ch := p.waiting[r.ID]
			delete(p.waiting, r.ID)
			p.mu.Unlock()
			if ch != nil {
				ch <- r
			}
		}
	}
	_ = p.cmd.Wait() // how it ended is in ProcessState
	close(p.gone)
}

func (p *process) waitReady(ctx context.Context) error {
	select {
	case err := <-p.ready:
		return err
	case <-p.gone:
		return p.wrap(errWorkerGone)
	case <-ctx.Done():
		return p.wrap(fmt.Errorf("not ready: %w", ctx.Err()))
	}
}

func (p *process) send(v any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.enc.Encode(v)
}

// ask sends a request and waits for its answer.
func (p *process) ask(ctx context.Context, r request) (reply, error) {
	ch := make(chan reply, 1)
	p.mu.Lock()
	p.waiting[r.ID] = ch
	p.mu.Unlock()
	if err := p.send(r); err != nil {
		return reply{}, p.wrap(err)
	}
	select {
	case a := <-ch:
		return a, answerError(a)
	case <-p.gone:
		return reply{}, p.wrap(errWorkerGone)
	case <-ctx.Done():
	}
	if err := p.send(request{Op: "cancel", Cancel: r.ID}); err != nil {
		return reply{}, p.wrap(err)
	}
	grace := time.NewTimer(cancelGrace)
	defer grace.Stop()
	select {
	case a := <-ch:
		return a, answerError(a)
	case <-p.gone:
		return reply{}, p.wrap(errWorkerGone)
	case <-grace.C:
		return reply{}, p.wrap(errors.New("no answer to a cancel"))
	}
}

func answerError(a reply) error {
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

func (p *process) stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.last
	s.Counts = s.clone()
	return s
}

// stop closes the input, which ends the worker, and kills it if it does not.
func (p *process) stop() {
	p.mu.Lock()
	_ = p.in.Close()
	p.mu.Unlock()
	kill := time.AfterFunc(cancelGrace, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	<-p.gone
}

// wrap adds the process's number, end and last words.
func (p *process) wrap(err error) error {
	select {
	case <-p.gone:
		return fmt.Errorf("client process %d (%v): %w%s", p.number, p.cmd.ProcessState, err, p.stderr.quoted())
	default:
		return fmt.Errorf("client process %d: %w", p.number, err)
	}
}

// tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte // guarded by mu
}

const tailBytes = 2048

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
	return fmt.Sprintf("; it said: %s", t.buf)
}
