package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// inet_diag of linux/inet_diag.h, in the host's byte order but for ports and
// addresses:
//
//	request:  family u8, protocol u8, ext u8, pad u8, states u32, sockid (48 bytes)
//	answer:   family u8, state u8, timer u8, retrans u8, sockid (48), expires u32,
//	          rqueue u32, wqueue u32, uid u32, inode u32
//	sockid:   sport u16, dport u16, src 16 bytes, dst 16, if u32, cookie 8
const (
	sockDiagByFamily = 20
	diagRequestSize  = 56
	diagAnswerSize   = 72
	diagSourcePort   = 4
	diagSource       = 8
	diagInode        = 68
	listenStates     = 1 << 10 // TCP_LISTEN
	diagBuffer       = 32 << 10
)

// diagListeners adds the inodes of sockets that listen on addr or on the
// wildcard address. The kernel lists listeners alone, so it is quick beside a
// million connections, for which /proc/net/tcp takes minutes.
func diagListeners(addr netip.AddrPort, inodes map[string]bool) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := diagDump(fd, family, addr, inodes); err != nil {
			return fmt.Errorf("sock_diag: %w", err)
		}
	}
	return nil
}

func diagDump(fd int, family byte, addr netip.AddrPort, inodes map[string]bool) error {
	request := make([]byte, unix.SizeofNlMsghdr+diagRequestSize)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := request[unix.SizeofNlMsghdr:]
	body[0], body[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], listenStates)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, diagBuffer)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return err
		}
		done, err := diagAnswers(buf[:n], addr, inodes)
		if done || err != nil {
			return err
		}
	}
}

var errDiag = errors.New("the kernel refused the question")

// diagAnswers reads one datagram of netlink messages.
func diagAnswers(b []byte, addr netip.AddrPort, inodes map[string]bool) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return true, errDiag
		}
		body := b[unix.SizeofNlMsghdr:size]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			return true, errDiag
		default:
			if len(body) >= diagAnswerSize && diagMatches(body, addr) {
				inodes[strconv.Itoa(int(binary.NativeEndian.Uint32(body[diagInode:])))] = true
			}
		}
		b = b[min((size+3)&^3, len(b)):] // messages are aligned to 4 bytes
	}
	return false, nil
}

func diagMatches(body []byte, addr netip.AddrPort) bool {
	if binary.BigEndian.Uint16(body[diagSourcePort:]) != addr.Port() {
		return false
	}
	var local netip.Addr
	if body[0] == unix.AF_INET {
		local = netip.AddrFrom4([4]byte(body[diagSource : diagSource+4]))
	} else {
		local = netip.AddrFrom16([16]byte(body[diagSource : diagSource+16]))
	}
	return local.IsUnspecified() || local.Unmap() == addr.Addr().Unmap()
}
