package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Config says whom an Engine talks to.
type Config struct {
	Addr    netip.AddrPort // of the server
	Host    string         // Host header
	Target  string         // path and query; "{n}" becomes the connection's number
	Sources []netip.Addr   // source addresses, used in turn; empty: the kernel chooses
	Seed    uint64         // of masks, order and jitter
	Worker  int            // number of this process: part of every Stamp.Seq, below 4096
	FirstID int            // number of the first connection, for "{n}"
	Report  time.Duration  // between reports of a worker; 0: StatsEvery
}

const (
	readBuffer = 64 << 10
	maxEvents  = 512
	maxWait    = 100 * time.Millisecond // longest sleep with nothing due
)

// activity is something the loop drives step by step. step is called after
// every round of events; it returns the time at which it must be called
// again, and whether it is done.
type activity interface {
	step(now int64) (wakeAt int64, done bool)
}

// Engine is one epoll loop with its connections.
type Engine struct {
	// Fixed at construction.
	cfg    Config
	key    upgradeKey
	to     unix.Sockaddr
	family int
	from   []unix.Sockaddr
	mask   [4]byte
	epfd   int
	wakefd int
	start  time.Time
	mono   int64 // CLOCK_MONOTONIC at start

	// Owned by the loop.
	conns   slab
	sides   map[uint32]*side
	spare   []*side
	buf     []byte
	scratch []byte
	rng     *rand.Rand
	acts    []running
	nextID  int
	counts  Counts
	dialers map[uint32]*dialing // who opened a slot that is not open yet
	traffic *traffic
	listen  *listening
	// told are the losses among Counts.Closed that the result of a traffic has
	// named. Those since belong to the next: a connection that is lost before
	// the first message is missing from it.
	told map[string]uint64
	// deafLost are the losses among Counts.Closed of connections that do not
	// read, in the present traffic.
	deafLost map[string]uint64
	lag      Hist // intended to actual send, and intended to actual dial

	mu    sync.Mutex
	calls []func() // guarded by mu
}

type running struct {
	activity
	done func()
}

// NewEngine makes the epoll set. Close it with Run's context.
func NewEngine(cfg Config) (*Engine, error) {
	e := &Engine{
		cfg: cfg, key: newUpgradeKey(cfg.Seed ^ 0x6c696d706574),
		sides: make(map[uint32]*side), dialers: make(map[uint32]*dialing),
		buf: make([]byte, readBuffer), nextID: cfg.FirstID,
		rng:   rand.New(rand.NewPCG(cfg.Seed, uint64(cfg.Worker))),
		start: time.Now(), mono: Now(),
		counts: newCounts(), lag: NewHist(), deafLost: make(map[string]uint64),
	}
	binary.BigEndian.PutUint32(e.mask[:], e.rng.Uint32())
	e.to, e.family = sockaddr(cfg.Addr)
	for _, a := range cfg.Sources {
		sa, _ := sockaddr(netip.AddrPortFrom(a, 0))
		e.from = append(e.from, sa)
	}
	var err error
	if e.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if e.wakefd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		unix.Close(e.epfd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
	if err = unix.EpollCtl(e.epfd, unix.EPOLL_CTL_ADD, e.wakefd, &ev); err != nil {
		unix.Close(e.epfd)
		unix.Close(e.wakefd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return e, nil
}

// now is Now without the system call.
func (e *Engine) now() int64 { return e.mono + int64(time.Since(e.start)) }

// Do has the loop call f. It may be called from any goroutine; after Run has
// returned f is never called.
func (e *Engine) Do(f func()) {
	e.mu.Lock()
	e.calls = append(e.calls, f)
	first := len(e.calls) == 1
	e.mu.Unlock()
	if first {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(e.wakefd, one[:])
	}
}

// launch adds an activity; done is called on the loop when it has finished.
func (e *Engine) launch(a activity, done func()) { e.acts = append(e.acts, running{a, done}) }

// Run drives the loop until ctx ends, then closes every connection.
func (e *Engine) Run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Sleeps are ended to the microsecond rather than to the default 50 µs.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	stop := context.AfterFunc(ctx, func() { e.Do(func() {}) })
	defer stop()
	defer e.closeAll()
	events := make([]unix.EpollEvent, maxEvents)
	for ctx.Err() == nil {
		wait := e.step()
		n, err := e.wait(events, wait)
		if err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
		for i := range events[:n] {
			ev := &events[i]
			if ev.Fd < 0 {
				e.drainCalls()
				continue
			}
			e.ready(uint32(ev.Fd), uint16(ev.Pad), ev.Events)
		}
	}
	return nil
}

// wait is epoll_pwait2(2), which sleeps to the nanosecond: with
// epoll_wait(2)'s milliseconds, half a millisecond would be added to every
// latency that is measured from the intended time.
func (e *Engine) wait(events []unix.EpollEvent, d time.Duration) (int, error) {
	ts := unix.NsecToTimespec(int64(max(d, 0)))
	n, errno := epollPwait2(e.epfd, events, &ts)
	switch errno {
	case 0:
		return n, nil
	case unix.EINTR:
		return 0, nil
	case unix.ENOSYS: // before Linux 5.11
		n, err := unix.EpollWait(e.epfd, events, int((d+time.Millisecond-1)/time.Millisecond))
		if err == unix.EINTR {
			return 0, nil
		}
		return max(n, 0), err
	default:
		return 0, errno
	}
}

func (e *Engine) drainCalls() {
	var drop [8]byte
	_, _ = unix.Read(e.wakefd, drop[:])
	e.mu.Lock()
	calls := e.calls
	e.calls = nil
	e.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// step gives every activity its turn and returns how long the loop may sleep.
func (e *Engine) step() time.Duration {
	now := e.now()
	wake := now + int64(maxWait)
	for i := 0; i < len(e.acts); {
		at, done := e.acts[i].step(now)
		if !done {
			wake = min(wake, at)
			i++
			continue
		}
		finished := e.acts[i].done
		e.acts = append(e.acts[:i], e.acts[i+1:]...)
		finished() // may launch another, which the next round steps
		wake = now
	}
	return time.Duration(wake - e.now())
}

// ready handles the events of one connection. The set is edge-triggered: one
// epoll_ctl per connection for its whole life, and a read that comes back
// short has emptied the socket.
func (e *Engine) ready(slot uint32, gen uint16, events uint32) {
	c := e.conns.at(slot)
	if c.state == stateFree || c.gen != gen {
		return
	}
	if c.state == stateConnecting && events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		if !e.request(slot, c) {
			return
		}
	}
	if events&unix.EPOLLOUT != 0 && c.flags&flagSide != 0 && c.state == stateOpen {
		if !e.flush(slot, c) {
			return
		}
	}
	if c.flags&flagDeaf != 0 {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			e.fail(slot, c, KindReset)
		}
		return
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		e.read(slot, c, events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	}
}

// read empties the socket; ending says that an end or an error is behind
// the bytes, which only a further read reports.
func (e *Engine) read(slot uint32, c *conn, ending bool) {
	gen := c.gen
	for {
		n, err := read(int(c.fd), e.buf)
		switch {
		case err == unix.EAGAIN:
			return
		case err == unix.EINTR:
			continue
		case err != nil:
			e.fail(slot, c, kindOfErrno(err))
			return
		case n == 0:
			e.fail(slot, c, KindClosed)
			return
		}
		e.counts.BytesIn += uint64(n)
		e.receive(slot, c, e.buf[:n])
		if c.gen != gen || (n < len(e.buf) && !ending) || c.flags&flagDeaf != 0 {
			return
		}
	}
}

// open starts one connection on behalf of d. It returns the kind of failure,
// or "".
func (e *Engine) open(d *dialing, due int64) (slot uint32, kind string) {
	id := e.nextID
	e.nextID++
	var from unix.Sockaddr
	if len(e.from) > 0 {
		from = e.from[(id/64)%len(e.from)] // runs of 64 keep the port search warm
	}
	fd, err := dialSocket(e.to, e.family, from)
	if err != nil {
		return 0, kindOfErrno(err)
	}
	slot, c := e.conns.take()
	*c = conn{fd: int32(fd), gen: c.gen, state: stateConnecting, due: due, recv: uint32(id)}
	ev := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     int32(slot), Pad: int32(c.gen),
	}
	if err := unix.EpollCtl(e.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		unix.Close(fd)
		e.conns.put(slot)
		return 0, kindOfErrno(err)
	}
	e.counts.Dialing++
	e.dialers[slot] = d
	return slot, ""
}

// request writes the upgrade; until then conn.recv holds the connection's
// number. It returns false when the connection has failed.
func (e *Engine) request(slot uint32, c *conn) bool {
	target := e.cfg.Target
	if strings.Contains(target, "{n}") {
		target = strings.ReplaceAll(target, "{n}", strconv.Itoa(int(c.recv)))
	}
	e.scratch = appendUpgrade(e.scratch[:0], e.cfg.Host, target, e.key.key)
	n, err := write(int(c.fd), e.scratch)
	if err == unix.EAGAIN {
		return true // still connecting
	}
	if err == nil && n < len(e.scratch) {
		err = unix.ENOBUFS // a fresh socket that does not take 300 bytes
	}
	if err != nil {
		e.fail(slot, c, kindOfErrno(err))
		return false
	}
	c.state, c.recv = stateUpgrading, 0
	return true
}

// fail ends a connection that did not do what it should. A connection that
// was not open yet is a failed dial, one that was is a loss.
func (e *Engine) fail(slot uint32, c *conn, kind string) {
	wasOpen := c.state == stateOpen
	if wasOpen && c.flags&flagDeaf != 0 {
		e.deafLost[kind]++
	}
	e.release(slot, c)
	if wasOpen {
		e.counts.Closed[kind]++
		return
	}
	e.dialFailed(slot, kind, 0)
}

func (e *Engine) dialFailed(slot uint32, kind string, retryAfterMs int) {
	d := e.dialers[slot]
	delete(e.dialers, slot)
	e.counts.Failed[kind]++
	d.failed(slot, kind, retryAfterMs)
}

// release closes the socket and frees the slot without counting a failure.
func (e *Engine) release(slot uint32, c *conn) {
	if c.state == stateOpen {
		e.counts.Open--
	} else {
		e.counts.Dialing--
	}
	e.dropSide(slot, c)
	resetOnClose(int(c.fd))
	unix.Close(int(c.fd))
	e.conns.put(slot)
}

func (e *Engine) closeAll() {
	e.conns.each(func(slot uint32, c *conn) { e.release(slot, c) })
	unix.Close(e.epfd)
	unix.Close(e.wakefd)
}

// side returns the connection's side structure, made when it has none.
func (e *Engine) side(slot uint32, c *conn) *side {
	if c.flags&flagSide != 0 {
		return e.sides[slot]
	}
	var s *side
	if n := len(e.spare); n > 0 {
		s, e.spare = e.spare[n-1], e.spare[:n-1]
	} else {
		s = new(side)
	}
	c.flags |= flagSide
	e.sides[slot] = s
	return s
}

const (
	maxSpare     = 1024     // side structures kept for reuse
	maxSpareSize = 16 << 10 // larger buffers go to the collector
)

func (e *Engine) dropSide(slot uint32, c *conn) {
	if c.flags&flagSide == 0 {
		return
	}
	c.flags &^= flagSide
	s := e.sides[slot]
	delete(e.sides, slot)
	if len(e.spare) < maxSpare && cap(s.in)+cap(s.out)+8*cap(s.backlog) <= maxSpareSize {
		*s = side{in: s.in[:0], out: s.out[:0], backlog: s.backlog[:0]}
		e.spare = append(e.spare, s)
	}
}
