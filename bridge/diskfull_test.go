package bridge

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/bridge/embedded"
	"golang.org/x/sys/unix"
)

// diskFullDir makes the test binary, run again by TestUplinkDiskFull, the
// process whose disk is full: the limit of a file's size is the process's.
const diskFullDir = "LIMPET_TEST_DISK_FULL"

// The embedded broker cannot write for a while: its log reaches the size at
// which every write fails, in the middle of a batch. Nothing that was accepted
// is lost, and it goes on when there is room.
func TestUplinkDiskFull(t *testing.T) {
	if dir := os.Getenv(diskFullDir); dir != "" {
		fillDisk(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestUplinkDiskFull$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), diskFullDir+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "--- PASS: TestUplinkDiskFull") {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Log(out.String())
}

func fillDisk(t *testing.T, dir string) {
	signal.Ignore(syscall.SIGXFSZ) // then writes fail with EFBIG
	broker, err := embedded.Start(embedded.Config{DataDir: dir, Topics: embeddedTopics(2, 2), MaxBytes: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	b := &testBroker{addr: broker.Addr(), topics: NewTopics(DefaultTopicPrefix)}
	const limit = 1 << 20
	u := startUplink(t, b, UplinkConfig{BufferedBytes: limit, MaxMessageBytes: 1024, Workers: 2})
	l := startLedger(t, u, limit)
	eventually(t, "messages are acknowledged", func() bool { return u.Stats().Acked > 500 })
	limitFiles(t, 50_000)
	eventually(t, "writes fail", func() bool { return u.Stats().Retried > 100 })
	eventually(t, "messages are refused", func() bool { refused, _ := l.seen(); return refused > 100 })
	time.Sleep(300 * time.Millisecond)
	limitFiles(t, unix.RLIM_INFINITY)
	acked := u.Stats().Acked
	eventually(t, "messages are acknowledged again", func() bool { return u.Stats().Acked > acked+1000 })
	l.check(b)
}

// limitFiles sets the size that no file may pass.
func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	var limits unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limits); err != nil {
		t.Fatal(err)
	}
	limits.Cur = min(size, limits.Max)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limits); err != nil {
		t.Fatal(err)
	}
}
