package sysctl

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inNetns tells the test binary that it was started again inside of a network
// namespace of its own.
const inNetns = "LIMPET_SYSCTL_IN_NETNS"

// TestRealNetns runs check, apply and restore for real, on this kernel, in a
// network namespace of its own. The namespace belongs to a child process and
// goes with it; the host's values are read before and after.
func TestRealNetns(t *testing.T) {
	if os.Getenv(inNetns) != "" {
		testInsideNetns(t)
		return
	}
	const witness = "net.core.somaxconn"
	before, err := System().text(sysctlFile(witness))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestRealNetns$", "-test.v", "-test.timeout=25s")
	cmd.Env = append(os.Environ(), inNetns+"=1")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Geteuid(); uid != 0 {
		// An ordinary user gets one inside of a user namespace, where that is allowed.
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		const why = "this user may not make a network namespace (run as root, or allow user namespaces)"
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s: %v", why, err)
		}
		t.Skipf("%s: %v", why, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("inside of the namespace: %v\n%s", err, out.Bytes())
	}
	if !strings.Contains(out.String(), "--- PASS: TestRealNetns") {
		t.Fatalf("the test did not run inside:\n%s", out.Bytes())
	}
	if after, err := System().text(sysctlFile(witness)); err != nil || after != before {
		t.Errorf("the host's %s went from %s to %s (%v)", witness, before, after, err)
	}
}

// netOnly lets a real apply write nothing but what belongs to the namespace: the
// settings of the host are not the test's to change.
type netOnly struct {
	Dir
	denied map[string]bool
}

func (n netOnly) Writable(name string) error {
	if !strings.HasPrefix(name, "proc/sys/net/") {
		n.denied[name] = true
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return n.Dir.Writable(name)
}

func (n netOnly) Write(name string, value []byte) error {
	if err := n.Writable(name); err != nil {
		return err
	}
	return n.Dir.Write(name, value)
}

func testInsideNetns(t *testing.T) {
	root := System()
	real := netOnly{Dir: "/", denied: map[string]bool{}}
	root.Files = real
	if h := Inspect(root); h.InitialNetns {
		t.Fatal("this is the host's network namespace")
	}
	set := func(name, value string) {
		t.Helper()
		if err := real.Write(sysctlFile(name), []byte(value)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	// A host as it was before Linux 5.4.
	set("net.core.somaxconn", "128")
	set("net.ipv4.tcp_max_syn_backlog", "128")
	set("net.ipv4.tcp_syncookies", "0")
	set("net.ipv4.tcp_rmem", "4096 131072 6291456")

	need := Need{Conns: 50_000, Rate: 20_000, Loops: 2}
	before := check(t, root, need)
	for name, want := range map[string]Verdict{
		"net.core.somaxconn": Short, "net.ipv4.tcp_max_syn_backlog": Advised, "net.ipv4.tcp_syncookies": Advised, "net.ipv4.tcp_rmem": Advised,
		"net.ipv4.tcp_mem": Node, "net.ipv4.tcp_max_orphans": Node, "net.core.netdev_max_backlog": Node,
	} {
		if got := before.row(t, name).Verdict; got != want {
			t.Errorf("before: %s is %s, want %s", name, got, want)
		}
	}

	file := filepath.Join(t.TempDir(), "restore.json")
	dry := apply(t, root, need, ApplyOptions{RestoreFile: file, DryRun: true})
	if c := dry.change(t, "net.core.somaxconn"); c.Outcome != WouldWrite || read(t, root, "net.core.somaxconn") != "128" {
		t.Errorf("dry run: %+v", c)
	}
	done := apply(t, root, need, ApplyOptions{RestoreFile: file})
	// 20,000/s x 1 s / 2 listeners x 20/17 = 11,765: the next power of two.
	for name, want := range map[string]string{
		"net.core.somaxconn": "16384", "net.ipv4.tcp_max_syn_backlog": "16384", "net.ipv4.tcp_syncookies": "1",
		"net.ipv4.tcp_rmem": "4096\t131072\t6291456",
	} {
		if got := read(t, root, name); got != want {
			t.Errorf("applied: %s is %q, want %q", name, got, want)
		}
	}
	if c := done.change(t, "net.core.somaxconn"); c.Outcome != Written || c.Before != "128" || c.After != "16384" {
		t.Errorf("%+v", c)
	}
	if got := check(t, root, need).row(t, "net.core.somaxconn").Verdict; got != OK {
		t.Errorf("after apply somaxconn is %s", got)
	}
	forced := apply(t, root, need, ApplyOptions{RestoreFile: file, Force: true})
	if got := read(t, root, "net.ipv4.tcp_rmem"); got != "4096\t16384\t6291456" {
		t.Errorf("forced: tcp_rmem is %q (%+v)", got, forced.Changes)
	}
	// The kernel refuses a value that the table would never write: the line fails,
	// and atomic undoes nothing because nothing else was to be written.
	if outcome, why := writeLine(root, Parameter{File: sysctlFile("net.core.somaxconn")}, "-1"); outcome != Failed || !strings.Contains(why, "invalid argument") {
		t.Errorf("writing -1: %s, %s", outcome, why)
	}

	back, err := Restore(root, ApplyOptions{RestoreFile: file})
	if err != nil || back.Err() != nil {
		t.Fatalf("restore: %v, %v, %+v", err, back.Err(), back.Changes)
	}
	for name, want := range map[string]string{
		"net.core.somaxconn": "128", "net.ipv4.tcp_max_syn_backlog": "128", "net.ipv4.tcp_syncookies": "0", "net.ipv4.tcp_rmem": "4096\t131072\t6291456",
	} {
		if got := read(t, root, name); got != want {
			t.Errorf("restored: %s is %q, want %q", name, got, want)
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the restore file is still there: %v", err)
	}
}
