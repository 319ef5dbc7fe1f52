package probe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestMain makes the test binary a listener when a test starts it as one.
func TestMain(m *testing.M) {
	if mode := os.Getenv("PROBE_LISTENER"); mode != "" {
		listen(mode)
		return
	}
	os.Exit(m.Run())
}

// listen prints its address and waits for its input to end. In mode "thread"
// the socket is in the descriptor table of one thread only; in mode "fork" a
// child shares it.
func listen(mode string) {
	ready := make(chan string)
	go func() {
		if mode == "thread" {
			runtime.LockOSThread()
			if err := unix.Unshare(unix.CLONE_FILES); err != nil {
				panic(err)
			}
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0) // not close-on-exec: "fork" hands it on
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		}
		if err == nil {
			err = unix.Listen(fd, 1)
		}
		if err != nil {
			panic(err)
		}
		sa, err := unix.Getsockname(fd)
		if err != nil {
			panic(err)
		}
		if mode == "fork" {
			child := exec.Command("sleep", "60")
			child.ExtraFiles = []*os.File{os.NewFile(uintptr(fd), "listener")}
			child.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
			if err := child.Start(); err != nil {
				panic(err)
			}
		}
		ready <- fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
		select {} // the thread, and with it its table, stays
	}()
	fmt.Println(<-ready)
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the parent has gone
}

// startListener starts the test binary as a listener.
func startListener(t *testing.T, mode string) (pid int, addr netip.AddrPort) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROBE_LISTENER="+mode)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return cmd.Process.Pid, netip.MustParseAddrPort(strings.TrimSpace(line))
}

func TestListenerIsFound(t *testing.T) {
	for _, mode := range []string{"process", "thread", "fork"} {
		t.Run(mode, func(t *testing.T) {
			pid, addr := startListener(t, mode)
			got, err := Host().Listener(addr)
			require.NoError(t, err)
			require.Equal(t, pid, got)
			require.Equal(t, mode != "thread", Host().OneTable(pid))
		})
	}
}

func TestListenerThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := netip.MustParseAddrPort(l.Addr().String())
	require.NoError(t, l.Close())
	_, err = Host().Listener(addr)
	require.ErrorIs(t, err, ErrNoListener)
}

func TestListenerOnAnyAddress(t *testing.T) {
	l, err := net.Listen("tcp", ":0") // [::]:port takes IPv4 as well
	require.NoError(t, err)
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	pid, err := Host().Listener(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	require.NoError(t, err)
	require.Equal(t, os.Getpid(), pid)
}

func TestTreeCountsChildren(t *testing.T) {
	pid, _ := startListener(t, "fork")
	tree, err := Host().Tree(pid)
	require.NoError(t, err)
	require.Len(t, tree, 2)
	require.Equal(t, pid, tree[0])
	alone, err := Host().memoryOf(pid)
	require.NoError(t, err)
	all, err := Host().Memory(pid)
	require.NoError(t, err)
	require.Greater(t, all.RSS, alone.RSS)
	require.GreaterOrEqual(t, all.Peak, all.RSS)
	threads, err := Host().Threads(pid)
	require.NoError(t, err)
	require.Greater(t, threads, 2)
}

// Memory must agree with an independent sum over /proc/PID/smaps, mapping by
// mapping, and RSS with Memory.
func TestMemoryAgainstSmaps(t *testing.T) {
	pid, _ := startListener(t, "process")
	m, err := Host().Memory(pid)
	require.NoError(t, err)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	require.NoError(t, err)
	sum := make(map[string]uint64)
	for line := range strings.Lines(string(text)) {
		var name string
		var kb uint64
		if n, _ := fmt.Sscanf(line, "%s %d kB", &name, &kb); n == 2 {
			sum[name] += kb << 10
		}
	}
	within := func(want, got uint64) { require.InDelta(t, float64(want), float64(got), 256<<10) }
	within(sum["Rss:"], m.RSS)
	within(sum["Anonymous:"], m.RSSAnon)
	within(sum["Pss:"], m.PSS)
	quick, err := Host().RSS(pid)
	require.NoError(t, err)
	require.InEpsilon(t, float64(m.RSS), float64(quick), 0.25)
}

func TestCPUGrowsWithWork(t *testing.T) {
	before, err := Host().CPU(os.Getpid())
	require.NoError(t, err)
	busyBefore, totalBefore, err := Host().HostCPU()
	require.NoError(t, err)
	const work = 100 * time.Millisecond
	for begun := ownCPU(t); ownCPU(t)-begun < work; {
	}
	after, err := Host().CPU(os.Getpid())
	require.NoError(t, err)
	require.GreaterOrEqual(t, after-before, work-2*tick, "each of two times is cut to a tick")
	busy, total, err := Host().HostCPU()
	require.NoError(t, err)
	require.Greater(t, busy, busyBefore)
	require.Greater(t, total-totalBefore, busy-busyBefore-20*time.Millisecond)
}

// ownCPU is what this process has worked, by another way than /proc.
func ownCPU(t *testing.T) time.Duration {
	t.Helper()
	var ru unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &ru))
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func TestGone(t *testing.T) {
	cmd := exec.Command("true")
	require.NoError(t, cmd.Run())
	_, err := Host().Memory(cmd.Process.Pid)
	require.ErrorIs(t, err, ErrGone)
	_, err = Host().CPU(cmd.Process.Pid)
	require.ErrorIs(t, err, ErrGone)
	require.False(t, Host().Alive(cmd.Process.Pid))
	require.True(t, Host().Alive(os.Getpid()))
}

// What the kernel counts is the whole machine's: other tests may close as many
// sockets as this one opens, so it looks more than once.
func TestKernelCountsSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	const n, rounds = 300, 20
	for round := 1; ; round++ {
		before, after := openSockets(t, l, n)
		per, ok := after.PerSocket(before, n)
		counted := int(after.TCPSockets) - int(before.TCPSockets)
		if counted < n || after.SlabReadable && (!ok || per <= 2000 || per >= 8000) {
			require.Less(t, round, rounds, "%d of %d new sockets counted, at %.0f B", counted, 2*n, per)
			continue
		}
		if !after.SlabReadable {
			t.Log("slabinfo is readable by root only: kernel memory per socket is not reported")
		}
		_, ok = after.PerSocket(before, 1<<20)
		require.False(t, ok, "fewer sockets than asked for say nothing")
		return
	}
}

// openSockets reads what the kernel counts before and after n connections to l
// are opened, and closes them.
func openSockets(t *testing.T, l net.Listener, n int) (before, after Kernel) {
	t.Helper()
	before, err := Host().Kernel()
	require.NoError(t, err)
	for range n {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		s, err := l.Accept()
		require.NoError(t, err)
		defer s.Close()
	}
	after, err = Host().Kernel()
	require.NoError(t, err)
	return before, after
}

// fake is a /proc of files.
func fake(t *testing.T, files map[string]string) Proc {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return Proc{root}
}

// stat of a process with the given parent; names may hold anything.
func statLine(pid, ppid, utime, stime int) string {
	return fmt.Sprintf("%d (a b) c) S %d 1 1 0 -1 4194304 0 0 0 0 %d %d 0 0 20 0 5 0 777 0 0\n", pid, ppid, utime, stime)
}

func TestFakeProc(t *testing.T) {
	p := fake(t, map[string]string{
		"1/stat": statLine(1, 0, 1, 1),
		"7/stat": statLine(7, 1, 100, 50), "7/status": "VmHWM:\t 300 kB\nVmRSS:\t 200 kB\nRssAnon:\t 90 kB\n", "7/limits": "Max open files            1024                 4096                 files\n",
		"8/stat": statLine(8, 7, 10, 5), "8/status": "VmHWM:\t 30 kB\nVmRSS:\t 20 kB\nRssAnon:\t 9 kB\n",
		"8/smaps_rollup": "Rss:                  40 kB\nPss:                  10 kB\nAnonymous:            12 kB\n",
	})
	tree, err := p.Tree(7)
	require.NoError(t, err)
	require.Equal(t, []int{7, 8}, tree)
	cpu, err := p.CPU(7)
	require.NoError(t, err)
	require.Equal(t, 1650*time.Millisecond, cpu)
	m, err := p.Memory(7)
	require.NoError(t, err)
	// 7 has no smaps_rollup, so its share is of status and has no PSS.
	require.Equal(t, Memory{RSS: 240 << 10, RSSAnon: 102 << 10, PSS: 10 << 10, Peak: 340 << 10}, m)
	require.EqualValues(t, 1024, p.NoFile(7))
	require.Zero(t, p.NoFile(8))
}

// Both ways to find listeners agree.
func TestDiagAgreesWithProc(t *testing.T) {
	for _, on := range []string{"127.0.0.1:0", ":0", "[::1]:0"} {
		l, err := net.Listen("tcp", on)
		require.NoError(t, err)
		defer l.Close()
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		for _, ask := range []string{"127.0.0.1", "::1"} {
			addr := netip.AddrPortFrom(netip.MustParseAddr(ask), port)
			diag, proc := make(map[string]bool), make(map[string]bool)
			require.NoError(t, diagListeners(addr, diag))
			for _, name := range []string{"tcp", "tcp6"} {
				text, err := os.ReadFile("/proc/net/" + name)
				require.NoError(t, err)
				listeningInodes(text, addr, proc)
			}
			require.Equal(t, proc, diag, "%s asked for %s", on, ask)
		}
	}
}

func TestParseHexAddr(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:1F90": "127.0.0.1:8080", "00000000:0050": "0.0.0.0:80",
		"00000000000000000000000001000000:1F90": "[::1]:8080",
		"0000000000000000FFFF00000100007F:1F90": "[::ffff:127.0.0.1]:8080",
	} {
		got, ok := parseHexAddr(text)
		require.True(t, ok)
		require.Equal(t, want, got.String())
	}
	for _, text := range []string{"", "0100007F", "XX:1", "0100:1F90F"} {
		_, ok := parseHexAddr(text)
		require.False(t, ok, text)
	}
}

func TestSettledWaitsForThreeEqualReadings(t *testing.T) {
	p := fake(t, map[string]string{"7/stat": statLine(7, 1, 0, 0), "7/status": ""})
	s := Settle{Every: time.Millisecond, Timeout: time.Minute, Bytes: 64 << 10}

	// Grows with ten readings, then stays.
	m, ok, err := settledOf(t, p, s, func(reading int) int { return 10_000 + 1000*min(reading, 10) })
	require.NoError(t, err)
	require.True(t, ok)
	require.EqualValues(t, 20_000<<10, m.RSS)

	// Never equal: the last reading, marked as not settled.
	s.Timeout = 50 * time.Millisecond
	_, ok, err = settledOf(t, p, s, func(reading int) int { return 20_000 + 1000*reading })
	require.NoError(t, err)
	require.False(t, ok)

	ended, stop := context.WithCancel(t.Context())
	stop()
	_, _, err = p.Settled(ended, 7, s)
	require.ErrorIs(t, err, context.Canceled)
}

// settledOf is Settled of process 7 while each reading of its RSS, in kB,
// comes from kb: through a pipe, whose next text waits for a reader.
func settledOf(t *testing.T, p Proc, s Settle, kb func(reading int) int) (Memory, bool, error) {
	t.Helper()
	rollup := filepath.Join(p.Root, "7", "smaps_rollup")
	require.NoError(t, os.RemoveAll(rollup))
	require.NoError(t, unix.Mkfifo(rollup, 0o600))
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for reading := 0; ; reading++ {
			f, err := os.OpenFile(rollup, os.O_WRONLY, 0)
			if err != nil || stop.Load() {
				f.Close()
				return
			}
			fmt.Fprintf(f, "Rss: %d kB\n", kb(reading))
			f.Close()
		}
	}()
	m, ok, err := p.Settled(t.Context(), 7, s)
	stop.Store(true)
	_, readErr := os.ReadFile(rollup) // lets the writer see it
	require.NoError(t, readErr)
	<-done
	require.NoError(t, os.Remove(rollup))
	require.NoError(t, os.WriteFile(rollup, []byte("Rss: 1 kB\n"), 0o644))
	return m, ok, err
}

func TestMachine(t *testing.T) {
	m := Host().Machine()
	require.NotEmpty(t, m.Kernel)
	require.Positive(t, m.Cores)
	require.Greater(t, m.Memory, uint64(64<<20))
	require.Positive(t, m.NoFileHard)
	require.Contains(t, m.Sysctls, "net.ipv4.ip_local_port_range")
	require.Positive(t, Host().Available())
}
