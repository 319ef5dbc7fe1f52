package inputfile

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reads tries name both ways: it gives these contents, or this error where it
// begins with "!".
func reads(t *testing.T, name, first, again string) {
	t.Helper()
	for how, c := range map[string]struct {
		read func(string) ([]byte, error)
		want string
	}{"first": {ReadFirst, first}, "again": {Read, again}} {
		got, err := c.read(name)
		if problem, ok := strings.CutPrefix(c.want, "!"); ok {
			if err == nil || err.Error() != problem {
				t.Errorf("%s, %s: %q, %v; want %s", name, how, got, err, problem)
			}
		} else if err != nil || string(got) != c.want {
			t.Errorf("%s, %s: %q, %v; want %q", name, how, got, err, c.want)
		}
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func fifo(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFiles(t *testing.T) {
	reads(t, write(t, "loops: 2\n"), "loops: 2\n", "loops: 2\n")
	reads(t, write(t, ""), "", "")
	full := strings.Repeat("x", MaxBytes)
	reads(t, write(t, full), full, full)
	reads(t, write(t, full+"x"), "!larger than 1MiB", "!larger than 1MiB")
	link := filepath.Join(t.TempDir(), "link") // as Kubernetes mounts a ConfigMap
	if err := os.Symlink(write(t, "a"), link); err != nil {
		t.Fatal(err)
	}
	reads(t, link, "a", "a")
	missing := "/does/not/exist"
	reads(t, missing, "!no such file or directory", "!no such file or directory")
}

// A file of 64 GiB takes no more memory than one that is just too large.
func TestHugeFile(t *testing.T) {
	name := write(t, "a: b\n")
	if err := os.Truncate(name, 64<<30); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	reads(t, name, "!larger than 1MiB", "!larger than 1MiB")
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 2*16*MaxBytes {
		t.Errorf("%d bytes are allocated to find out", n)
	}
}

func TestWhatIsNoFile(t *testing.T) {
	reads(t, t.TempDir(), "!it is a directory", "!it is a directory")
	reads(t, "/dev/zero", "!it is a device", "!it is a device")
	reads(t, os.DevNull, "", "")
	socket := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reads(t, socket, "!it is a socket", "!it is a socket")
	if _, err := Read(fifo(t)); err == nil || err.Error() != "it is a pipe, which can be read at the start only" {
		t.Errorf("a pipe at a reload: %v", err)
	}
}

// A pipe that is opened by its path, as a shell passes <(...) and standard input.
func TestPipeOfAShell(t *testing.T) {
	for text, want := range map[string]string{
		"loops: 2\n":                         "loops: 2\n",
		"":                                   "!it is a pipe, and nothing has come from it",
		strings.Repeat("x", MaxBytes):        strings.Repeat("x", MaxBytes), // more than the pipe holds at a time
		strings.Repeat("x", MaxBytes+100000): "!larger than 1MiB",
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		written := make(chan struct{})
		go func() {
			defer close(written)
			defer w.Close()
			_, _ = io.Copy(w, strings.NewReader(text)) // fails where less was wanted
		}()
		path := fmt.Sprintf("/proc/self/fd/%d", r.Fd())
		got, err := ReadFirst(path)
		if problem, ok := strings.CutPrefix(want, "!"); ok {
			if err == nil || err.Error() != problem {
				t.Errorf("%d bytes: %d bytes, %v; want %s", len(text), len(got), err, problem)
			}
		} else if err != nil || string(got) != want {
			t.Errorf("%d bytes: %d bytes, %v", len(text), len(got), err)
		}
		r.Close()
		<-written
	}
}

// Who writes to a named pipe may come before or after who reads.
func TestWriterOfANamedPipe(t *testing.T) {
	for range 20 {
		name := fifo(t)
		written := make(chan error, 1)
		go func() { written <- os.WriteFile(name, []byte("a: b\n"), 0) }() // waits for who reads
		if got, err := ReadFirst(name); err != nil || string(got) != "a: b\n" {
			t.Fatalf("%q, %v", got, err)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
}

// Nobody writes, or somebody never ends: there is an error all the same.
func TestSilentPipe(t *testing.T) {
	const want = "it is a pipe, and its end has not come within 20ms"
	name := fifo(t)
	if _, err := read(name, 20*time.Millisecond); err == nil || err.Error() != want {
		t.Errorf("no writer: %v", err)
	}
	w, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := read(name, 20*time.Millisecond); err == nil || err.Error() != want {
		t.Errorf("a silent writer: %v", err)
	}
	if _, err := w.WriteString("a: b\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := read(name, 20*time.Millisecond); err == nil || err.Error() != want {
		t.Errorf("a writer that does not end: %v", err)
	}
}
