package sysctl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// MeasurePairs is how many loopback connections Measure opens when it may. A
	// slab holds up to 64 objects and each CPU keeps some, so a few thousand make
	// that noise smaller than one part in a hundred.
	MeasurePairs = 2000
	// fewestPairs is where the noise would make the result a guess.
	fewestPairs = 600
	// rounds is in how many parts they are opened; the median part counts, because
	// the figures are of the whole machine and others use it too.
	rounds = 3
	// disturbedPercent is how far the sockets of the whole machine may grow otherwise
	// than by those that a round opened.
	disturbedPercent = 20
	// queuedPagesMost is what a message of measureMessage bytes, below a page with all
	// its headers, may be charged: rounding may show a second page.
	queuedPagesMost = 2
	// measureMessage is the size of the message that is queued, bytes.
	measureMessage = 128
	// backlogPairs is how many connections wait to be accepted at most, below the
	// 128 that old kernels allow.
	backlogPairs = 100
	// acceptTimeoutMs bounds the wait for one loopback connection, milliseconds.
	acceptTimeoutMs = 2000
)

// errDisturbed says that others on this machine were too busy for a measurement.
var errDisturbed = errors.New("others on this machine open, close or fill sockets")

// Measure opens loopback connections in this process, reads what they took from
// /proc/slabinfo and /proc/net/sockstat below root, and closes them. It needs to
// read slabinfo (root) and two free descriptors for each pair; it takes fewer
// pairs where RLIMIT_NOFILE is small and fails where fewer than 600 fit. It
// lasts about a tenth of a second and leaves no TIME-WAIT behind.
//
// Root must be the machine itself: sockets are real whatever the root says.
func Measure(ctx context.Context, root Root, pairs int) (KernelCost, error) {
	if _, err := readSlabinfo(root); err != nil {
		return KernelCost{}, fmt.Errorf("measure a socket: /proc/slabinfo: %w", err)
	}
	pairs = min(pairs, affordablePairs())
	if pairs < fewestPairs {
		return KernelCost{}, fmt.Errorf("measure a socket: RLIMIT_NOFILE leaves room for %d pairs of sockets and %d are needed", pairs, fewestPairs)
	}
	cost, err := measureRounds(ctx, root, pairs)
	if err != nil {
		return KernelCost{}, fmt.Errorf("measure a socket: %w", err)
	}
	if cost.SocketBytes < 1000 || cost.SocketBytes > 1<<16 {
		return KernelCost{}, fmt.Errorf("measure a socket: %d B each is not credible: %w", cost.SocketBytes, errDisturbed)
	}
	cost.Source = fmt.Sprintf("measured here: %s loopback connections in %d rounds", Count(int64(pairs)), rounds)
	return cost, nil
}

// affordablePairs leaves half of the free descriptors to the process.
func affordablePairs() int {
	var rl unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &rl); err != nil {
		return 0
	}
	const most = 1 << 20
	return int(min(rl.Cur, most)) / 4
}

// measureRounds opens the pairs in equal rounds and closes none before the end:
// a closed socket's inode is freed only after an RCU grace period, which would
// hide what the next round takes.
func measureRounds(ctx context.Context, root Root, pairs int) (cost KernelCost, err error) {
	var s sockets
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.listen(); err != nil {
		return cost, err
	}
	var results []KernelCost
	before, err := readSlabinfo(root)
	if err != nil {
		return cost, err
	}
	for range rounds {
		if err := ctx.Err(); err != nil {
			return cost, err
		}
		if err := s.connect(pairs / rounds); err != nil {
			return cost, err
		}
		after, err := readSlabinfo(root)
		if err != nil {
			return cost, err
		}
		if opened := 2 * (pairs / rounds); !disturbed(before, after, opened) {
			results = append(results, slabPerSocket(before, after, opened))
		}
		before = after
	}
	if len(results) == 0 {
		return cost, errDisturbed
	}
	slices.SortFunc(results, func(a, b KernelCost) int { return int(a.SocketBytes - b.SocketBytes) })
	cost = results[len(results)/2]

	idle, err := readSockstat(root)
	if err != nil {
		return cost, err
	}
	if err := s.queue(); err != nil {
		return cost, err
	}
	busy, err := readSockstat(root)
	if err != nil {
		return cost, err
	}
	// The kernel batches the count per CPU, so a little more or less may show; a
	// socket that holds anything is charged whole pages.
	cost.QueuedPages = max(1, int64(math.Round(float64(busy-idle)/float64(len(s.clients)))))
	if cost.QueuedPages > queuedPagesMost {
		return cost, errDisturbed
	}
	return cost, nil
}

// disturbed says whether others opened or closed sockets while a round opened its
// own: each socket has one object of sock_inode_cache, which is never merged with
// another cache. A kernel without it cannot tell.
func disturbed(before, after map[string]slabCache, opened int) bool {
	const cache = "sock_inode_cache"
	now, ok := after[cache]
	if !ok {
		return false
	}
	grown := now.active - before[cache].active
	return abs(grown-int64(opened)) > int64(opened)*disturbedPercent/100
}

func abs(n int64) int64 { return max(n, -n) }

// slabPerSocket attributes to a socket every cache that grew by at least three
// objects for each four sockets, in whole objects. What only the connecting side
// has (port buckets) comes to a half and is left out: the gateway's sockets are
// accepted ones. What others on the machine took comes to far less.
func slabPerSocket(before, after map[string]slabCache, opened int) KernelCost {
	var cost KernelCost
	var bytes float64
	for name, a := range after {
		each := float64(a.active-before[name].active) / float64(opened)
		if each < 0.75 {
			continue
		}
		each = math.Round(each)
		cost.Caches = append(cost.Caches, CacheCost{Cache: name, Bytes: each * a.share})
		bytes += each * a.share
	}
	slices.SortFunc(cost.Caches, func(a, b CacheCost) int { return int(b.Bytes - a.Bytes) })
	cost.SocketBytes = int64(math.Round(bytes))
	return cost
}

// sockets are raw so that each costs what the gateway's cost and no more: no
// net.Conn, no goroutine, one epoll item.
type sockets struct {
	epoll, listener int
	addr            unix.Sockaddr
	clients, served []int
	opened          []int
}

func (s *sockets) keep(fd int, err error) (int, error) {
	if err == nil {
		s.opened = append(s.opened, fd)
	}
	return fd, err
}

func (s *sockets) listen() (err error) {
	if s.epoll, err = s.keep(unix.EpollCreate1(unix.EPOLL_CLOEXEC)); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if s.listener, err = s.keep(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err = unix.Bind(s.listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return fmt.Errorf("bind to loopback: %w", err)
	}
	if err = unix.Listen(s.listener, backlogPairs); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.addr, err = unix.Getsockname(s.listener)
	return err
}

// connect opens pairs in batches that the backlog holds. The clients do not
// block: the runtime's signals would interrupt a blocking connect(2).
func (s *sockets) connect(pairs int) error {
	for done := 0; done < pairs; {
		batch := min(backlogPairs/2, pairs-done)
		for range batch {
			fd, err := s.keep(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0))
			if err != nil {
				return fmt.Errorf("socket: %w", err)
			}
			if err := unix.Connect(fd, s.addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
				return fmt.Errorf("connect over loopback: %w", err)
			}
			s.clients = append(s.clients, fd)
		}
		for range batch {
			fd, err := s.keep(s.accept())
			if err != nil {
				return fmt.Errorf("accept over loopback: %w", err)
			}
			s.served = append(s.served, fd)
		}
		done += batch
	}
	for _, fd := range s.opened[len(s.opened)-2*pairs:] {
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
	}
	return nil
}

// accept waits for one connection, at most acceptTimeoutMs each time.
func (s *sockets) accept() (int, error) {
	for {
		fd, _, err := unix.Accept4(s.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return fd, err
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}, acceptTimeoutMs)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return -1, err
		}
		if err == nil && n == 0 {
			return -1, fmt.Errorf("nothing arrived in %d ms: is loopback filtered?", acceptTimeoutMs)
		}
	}
}

// queue leaves one message in the receive queue of each accepted socket.
func (s *sockets) queue() error {
	message := make([]byte, measureMessage)
	for _, fd := range s.clients {
		if _, err := unix.Write(fd, message); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// close resets the connections (linger 0), so that none waits in TIME-WAIT.
func (s *sockets) close() error {
	for _, fd := range s.clients {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	var errs []error
	for _, fd := range slices.Backward(s.opened) {
		errs = append(errs, unix.Close(fd))
	}
	return errors.Join(errs...)
}
