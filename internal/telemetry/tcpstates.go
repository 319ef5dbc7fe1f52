package telemetry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Counting sockets by state means to have the kernel walk its table of them
// (sock_diag(7)). With 30,000 sockets that took 55 ms for a line each, and 5 ms
// (20 ms on a busy machine) where established and TIME-WAIT are left out, of
// which the kernel keeps sums. So only the others are asked for, seldom, and not
// where there are very many sockets to be walked past.
const (
	statesEvery      = 15 * time.Second // between two walks, however many ask
	statesMaxSockets = 1 << 18          // allocated; with more nothing is counted
	statesLimit      = 1 << 16          // sockets of one answer; what is beyond is not counted
	statesWait       = time.Second      // for the kernel to go on
)

// tcpStates are those that are counted one by one, by the kernel's number of
// them (include/net/tcp_states.h).
var tcpStates = map[uint8]string{
	2: "syn_sent", 3: "syn_received", 4: "fin_wait1", 5: "fin_wait2", 8: "close_wait", 9: "last_ack", 11: "closing", 12: "syn_received",
}

// Of linux/sock_diag.h and linux/inet_diag.h.
const (
	sockDiagByFamily = 20
	diagRequestSize  = 56
	diagStateAt      = 1 // in the answer's struct inet_diag_msg
)

// HostReader reads what the kernel says of the host, and remembers what it
// costs something to ask for. Any goroutine.
type HostReader struct {
	mu    sync.Mutex
	last  time.Time
	count map[string]int64
	err   error
}

// Read returns what the kernel says now, and the states of sockets as of at
// most 15 s ago. On a nil HostReader those are missing.
func (c *HostReader) Read() (Host, error) {
	h, err := ReadHost(procRoot)
	if err == nil && c != nil && h.Allocated <= statesMaxSockets {
		states, fault := c.states()
		if h.States = states; fault != nil { // a sandbox without netlink has the rest
			h.StatesError = fault.Error()
		}
	}
	return h, err
}

// states returns how many TCP sockets of the network namespace are in each of
// tcpStates, as of at most statesEvery ago.
func (c *HostReader) states() (map[string]int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.last.IsZero() || now.Sub(c.last) >= statesEvery {
		c.count, c.err = countStates()
		c.last = now
	}
	return c.count, c.err
}

func countStates() (map[string]int64, error) {
	count := map[string]int64{}
	for _, name := range tcpStates {
		count[name] = 0
	}
	left := statesLimit
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := countFamily(family, count, &left); err != nil {
			return nil, fmt.Errorf("TCP states: %w", err)
		}
	}
	return count, nil
}

func countFamily(family uint8, count map[string]int64, left *int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return fmt.Errorf("open a socket to ask: %w", err)
	}
	defer unix.Close(fd) // also ends a walk half-way
	wait := unix.NsecToTimeval(int64(statesWait))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	if err := unix.Sendto(fd, diagRequest(family), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	buf := make([]byte, 64<<10)
	for *left > 0 {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		done, err := readStates(buf[:n], count, left)
		if done || err != nil {
			return err
		}
	}
	return nil
}

// diagRequest is a struct nlmsghdr with a struct inet_diag_req_v2:
//
//	0 length | 4 type, flags | 8 sequence | 12 port | 16 family, protocol, extensions, pad | 20 states | 24 socket id (48)
func diagRequest(family uint8) []byte {
	b := make([]byte, unix.SizeofNlMsghdr+diagRequestSize)
	order := binary.NativeEndian
	order.PutUint32(b[0:], uint32(len(b)))
	order.PutUint16(b[4:], sockDiagByFamily)
	order.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b[16], b[17] = family, unix.IPPROTO_TCP
	var states uint32
	for state := range tcpStates {
		states |= 1 << state
	}
	order.PutUint32(b[20:], states)
	return b
}

// readStates takes in the messages of one datagram, and reports whether the
// kernel has said all.
func readStates(b []byte, count map[string]int64, left *int) (done bool, err error) {
	order := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(order.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return true, errors.New("the kernel's answer is cut off")
		}
		body := b[unix.SizeofNlMsghdr:length]
		switch order.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) >= 4 {
				if code := int32(order.Uint32(body)); code != 0 {
					return true, fmt.Errorf("the kernel refuses: %w", unix.Errno(-code))
				}
			}
			return true, nil
		case sockDiagByFamily:
			if len(body) > diagStateAt {
				if name, known := tcpStates[body[diagStateAt]]; known {
					count[name]++
				}
			}
			if *left--; *left <= 0 {
				return true, nil
			}
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return false, nil
}
