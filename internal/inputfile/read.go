package inputfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MaxBytes bounds what is read.
const MaxBytes = 1 << 20

// pipeWait is how long a pipe may take to its end: it may come from a program
// that asks a server for secrets.
const pipeWait = 10 * time.Second

// Read returns the contents of the regular file that is called name. Of /dev/null
// they are empty.
func Read(name string) ([]byte, error) { return read(name, 0) }

// ReadFirst is Read for the first time that name is read: it may be a pipe too,
// but not one that nothing comes from. It then takes some seconds at most.
func ReadFirst(name string) ([]byte, error) { return read(name, pipeWait) }

// read takes pipes if they may take time.
func read(name string, pipes time.Duration) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil {
		err = check(info, pipes > 0)
	}
	if err != nil {
		return nil, withoutPath(err)
	}
	// O_NONBLOCK: what has become a pipe since is opened without waiting for
	// somebody to write to it (fifo(7)).
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	if info, err = f.Stat(); err == nil {
		err = check(info, pipes > 0)
	}
	pipe := err == nil && info.Mode().Type() == fs.ModeNamedPipe
	if pipe {
		err = await(f, pipes)
	}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(f, MaxBytes+1))
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("it is a pipe, and its end has not come within %v", pipes)
	case err != nil:
		return nil, withoutPath(err)
	case len(data) > MaxBytes:
		return nil, fmt.Errorf("larger than %dMiB", MaxBytes>>20)
	case pipe && len(data) == 0:
		return nil, errors.New("it is a pipe, and nothing has come from it") // what writes to it has failed
	}
	return data, nil
}

// check says what is wrong with a file that is not a regular one.
func check(info fs.FileInfo, pipes bool) error {
	switch mode := info.Mode(); {
	case mode.IsRegular() || isNull(info):
		return nil
	case mode.IsDir():
		return errors.New("it is a directory")
	case mode&fs.ModeSocket != 0:
		return errors.New("it is a socket")
	case mode&fs.ModeNamedPipe == 0:
		return errors.New("it is a device")
	case !pipes:
		return errors.New("it is a pipe, which can be read at the start only")
	}
	return nil
}

// isNull reports whether info is of /dev/null, which people name where they want
// no file.
func isNull(info fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

// await waits until there is something to read from a pipe or its writers have
// gone, and gives it until wait is over to come to its end. One that nobody has
// opened to write to reads as if it were at its end, and is not: poll(2) tells
// the difference.
func await(f *os.File, wait time.Duration) error {
	if err := f.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) (done bool) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}

// withoutPath takes away what the caller says anyway.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
