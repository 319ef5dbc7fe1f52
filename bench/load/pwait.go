package load

import (
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollPwait2 is epoll_pwait2(2) without a signal mask; golang.org/x/sys has
// the number but no wrapper. It is a raw call: the runtime is not told that
// the thread sleeps. Being told costs a futex wake and a scheduler's round for
// every sleep, which is most of what a client process takes when connections
// come one by one. The price is that a collection waits for the end of the
// sleep, at most maxWait; a worker collects about once in a thousand
// connections. quietRuntime goes with it.
func epollPwait2(epfd int, events []unix.EpollEvent, timeout *unix.Timespec) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epfd),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(timeout)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// quietRuntime is the environment of a worker: without it the runtime would
// interrupt each raw sleep with a signal after 10 ms, and on a single core
// nothing would run beside the loop.
func quietRuntime() []string {
	return []string{"GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=" + strconv.Itoa(max(runtime.NumCPU(), 2))}
}

// read and write are raw for the same reason; their sockets never block.
func read(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func write(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
