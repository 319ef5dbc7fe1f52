package reactor

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// heldAddress is an address that was found free and stays ours until the
// loops listen on it.
//
// gnet binds with SO_REUSEPORT, which by itself would let a second gateway
// share the port with the first in silence, and give each loop a port of its
// own for port 0. So the address is bound once without that option, which
// fails where anybody listens. The option is set afterwards, so that the loops
// can bind beside it: the socket never listens, so it gets no connections, and
// meanwhile nobody else is given the port, not even as the source of an
// outgoing connection.
type heldAddress struct {
	fd   int
	addr *net.TCPAddr
}

func holdAddress(address string) (*heldAddress, error) {
	wanted, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	fd, err := bindOnly(wanted)
	if wanted.IP == nil && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		wanted.IP = net.IPv4zero // a host without IPv6
		fd, err = bindOnly(wanted)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	bound, err := unix.Getsockname(fd)
	if err == nil {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	got := &net.TCPAddr{IP: wanted.IP, Zone: wanted.Zone}
	switch sa := bound.(type) {
	case *unix.SockaddrInet4:
		got.Port = sa.Port
	case *unix.SockaddrInet6:
		got.Port = sa.Port
	}
	if got.IP == nil {
		got.IP = net.IPv6unspecified
	}
	return &heldAddress{fd, got}, nil
}

// check fails when somebody listens on the address by now: another gateway may
// have found it free at the same time.
func (h *heldAddress) check() error {
	fd, err := bindOnly(h.addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", h.addr, err)
	}
	return unix.Close(fd)
}

// forGnet is addr in gnet's words. To gnet [::] is IPv6 alone; only with no host
// at all does it listen on every address, as Go's own net.Listen does for both.
func forGnet(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.Equal(net.IPv6unspecified) {
		return fmt.Sprintf("tcp://:%d", tcp.Port)
	}
	return "tcp://" + addr.String()
}

// release lets the address go; the loops have it. Once.
func (h *heldAddress) release() { _ = unix.Close(h.fd) }

// bindOnly returns a socket that is bound to addr. It does not listen.
// SO_REUSEADDR lets it pass by connections of an earlier process that are in
// TIME_WAIT, not by sockets that listen.
func bindOnly(addr *net.TCPAddr) (fd int, err error) {
	sa, domain, err := sockaddr(addr)
	if err != nil {
		return -1, err
	}
	fd, err = unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, sa))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// sockaddr is addr for the kernel; no address at all is the unspecified one of
// IPv6, which takes IPv4 too.
func sockaddr(addr *net.TCPAddr) (unix.Sockaddr, int, error) {
	if v4 := addr.IP.To4(); v4 != nil {
		return &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(v4)}, unix.AF_INET, nil
	}
	sa := &unix.SockaddrInet6{Port: addr.Port}
	if v6 := addr.IP.To16(); v6 != nil {
		sa.Addr = [16]byte(v6)
	}
	if addr.Zone != "" {
		ifi, err := net.InterfaceByName(addr.Zone)
		if err != nil {
			return nil, 0, err
		}
		sa.ZoneId = uint32(ifi.Index)
	}
	return sa, unix.AF_INET6, nil
}
