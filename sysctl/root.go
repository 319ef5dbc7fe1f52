package sysctl

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxFileBytes bounds every read. The largest file here is /proc/slabinfo,
// about 120 bytes for each of a few hundred caches.
const maxFileBytes = 1 << 20

// Files is what the package asks of a file system. Names are slash-separated
// and relative, such as "proc/sys/fs/nr_open".
type Files interface {
	// Read returns the whole file, at most 1 MiB of it.
	Read(name string) ([]byte, error)
	// Write replaces the content of an existing file with one write(2), which is
	// how the kernel takes a setting; it never creates a file.
	Write(name string, value []byte) error
	// Writable opens the file for writing and closes it again. Under /proc/sys that
	// has no effect, and it fails where a write would for lack of privilege.
	Writable(name string) error
	// Link returns the target of a symbolic link.
	Link(name string) (string, error)
}

// Root is where /proc and /sys are found.
type Root struct {
	Files    Files
	PageSize int64 // bytes; tcp_mem counts in pages
	// Procs is GOMAXPROCS, as many event loops as the gateway starts by itself: the
	// CPUs less those that affinity or a cgroup's quota keeps from this process. 0:
	// all CPUs that are online.
	Procs int64
}

// System is the machine this process runs on.
func System() Root {
	return Root{Files: Dir("/"), PageSize: int64(os.Getpagesize()), Procs: int64(runtime.GOMAXPROCS(0))}
}

// Dir is a directory that holds proc and sys: "/" for the machine itself.
type Dir string

func (d Dir) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// Read implements Files.
func (d Dir) Read(name string) ([]byte, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileBytes))
}

// Write implements Files.
func (d Dir) Write(name string, value []byte) error {
	// O_TRUNC is ignored by /proc and needed by a plain directory.
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	return errors.Join(err, f.Close())
}

// Writable implements Files.
func (d Dir) Writable(name string) error {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// Link implements Files.
func (d Dir) Link(name string) (string, error) { return os.Readlink(d.path(name)) }

// text reads a file and trims the white space around it.
func (r Root) text(name string) (string, error) {
	b, err := r.Files.Read(name)
	if err != nil {
		return "", plain(err)
	}
	return strings.TrimSpace(string(b)), nil
}

// plain drops the path from a file error: the row already names the setting.
func plain(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Op, pe.Err)
	}
	return err
}
