package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/bench/probe"
)

// startBench runs bench against a gateway that echoes, and returns when its
// client processes have begun, with them.
func startBench(t *testing.T) (cmd *exec.Cmd, out *bytes.Buffer, clients []int) {
	t.Helper()
	p := startProcess(t, 0, "--uplink=echo")
	out = new(bytes.Buffer)
	cmd = exec.Command("limpet", "bench", "echo", "--target", "ws://"+p.Listen+"/ws", "--conns=10", "--duration=2m")
	cmd.Stdout = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var now struct{ Sessions int }
		if p.snapshot(&now); now.Sessions == 10 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("bench opens no connections")
		}
	}
	tree, err := probe.Host().Tree(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	clients = tree[1:]
	if len(clients) == 0 {
		t.Fatal("bench has no client process")
	}
	return cmd, out, clients
}

// Whoever signals the process and its group sends Ctrl-C twice: what was
// measured is told all the same.
func TestBenchToldTwiceAtOnce(t *testing.T) {
	cmd, out, _ := startBench(t)
	for range 2 {
		_ = cmd.Process.Signal(os.Interrupt)
		time.Sleep(5 * time.Millisecond)
	}
	_ = cmd.Wait() // the exit code is that of a run that is not complete
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(out.String(), "interrupted: what was measured") {
		t.Errorf("%v: %s", cmd.ProcessState, out)
	}
}

// A later second signal ends it at once, whatever it waits for: here for client
// processes that do not answer, which end with it.
func TestBenchEndsAtTheSecondSignal(t *testing.T) {
	cmd, _, clients := startBench(t)
	for _, pid := range clients {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Process.Signal(os.Interrupt)
	time.Sleep(2 * sameSignal)
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait() // killed by the signal
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		t.Errorf("it ended by itself: %v", cmd.ProcessState)
	}
}
