// Package probe reads what a benchmark needs from /proc: the memory and CPU
// time of a server and everything it started, what its sockets cost the
// kernel, what the network stack counted, and what machine this is.
//
// All functions hang on a Proc, whose Root may point at a copy for tests. They
// hold no state, start no goroutine, and are safe for concurrent use. A
// process that ends while it is read is an error that wraps ErrGone.
package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Proc is a /proc file system.
type Proc struct{ Root string }

// Host is the /proc of this machine.
func Host() Proc { return Proc{"/proc"} }

// ErrGone is wrapped by errors about a process that no longer exists.
var ErrGone = errors.New("the process has ended")

func (p Proc) path(parts ...string) string {
	return filepath.Join(append([]string{p.Root}, parts...)...)
}

// read reads a file of one process.
func (p Proc) read(pid int, name string) ([]byte, error) {
	text, err := os.ReadFile(p.path(strconv.Itoa(pid), name))
	if err != nil {
		if _, gone := os.Stat(p.path(strconv.Itoa(pid))); gone != nil {
			return nil, fmt.Errorf("process %d: %w", pid, ErrGone)
		}
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	return text, nil
}
