package load

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// ConnsPerSource is how many connections share one source address. Linux
// offers about 28,000 ephemeral ports to one address and destination, and
// slows down in the search for a free one as they fill up.
const ConnsPerSource = 8000

func sockaddr(ap netip.AddrPort) (unix.Sockaddr, int) {
	if ap.Addr().Unmap().Is4() {
		return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().Unmap().As4()}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}, unix.AF_INET6
}

// Sources gives the n-th block of count source addresses for a target: for
// one on 127.0.0.0/8 these are 127.0.0.2 and up, one for ConnsPerSource
// connections; for any other target the kernel chooses (nil).
func Sources(target netip.Addr, first, count int) []netip.Addr {
	if !target.Unmap().Is4() || !target.IsLoopback() {
		return nil
	}
	out := make([]netip.Addr, 0, count)
	for i := range count {
		n := 2 + first + i // up to 127.255.255.254
		out = append(out, netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)}))
	}
	return out
}

// dialSocket starts a connect and returns its descriptor at once.
func dialSocket(to unix.Sockaddr, family int, from unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if from != nil {
		// The port is chosen in connect, by the whole 4-tuple, instead of in
		// bind, where 28,000 would be the limit for all destinations together.
		if err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err == nil {
			err = unix.Bind(fd, from)
		}
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		if err = unix.Connect(fd, to); err == unix.EINPROGRESS {
			err = nil
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// resetOnClose makes close(2) send RST: no TIME_WAIT stays behind, so a
// benchmark can follow another at once.
func resetOnClose(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// Now reads CLOCK_MONOTONIC in nanoseconds, the clock of every stamp.
func Now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}
