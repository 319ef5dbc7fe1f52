package reactor

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// descriptorPlan says how many connections fit below RLIMIT_NOFILE and how
// many loops and tables that takes.
//
// gnet ends the whole engine when accept(2) meets EMFILE, so connections are
// limited below nofile, per table, with a reserve for everything else: Kafka
// and Redis connections, the API, log and data files in a shared table; the
// copied descriptors of the process in a loop's own. Within the reserve lie
// what every loop brings into every table, and the few refused connections that
// are still being told so. The kernel hands out the lowest free number, so a
// number tells how full its table is, whoever filled it: connections that
// meet a number near the limit are closed at once, those of others first.
type descriptorPlan struct {
	limit     int // of one table, RLIMIT_NOFILE
	perLoop   bool
	loops     int
	maxConns  int // of the engine
	maxTable  int // connections of one table
	lingerMax int // refused connections of one table that may linger
}

const (
	// spread is the share of a table that its even share of the connections may
	// fill: SO_REUSEPORT hashes connections to loops, so some get more than
	// others. For 17,000 a loop the standard deviation is 130; 0.85 is generous.
	spread = 0.85

	// loopDescriptors are a loop's in a table: listener, epoll, event descriptor,
	// and a connection that was accepted and is about to be turned away. A copied
	// table has the first three of all loops.
	loopDescriptors = 4
	// otherDescriptors is the least that is kept for what is neither a loop's
	// nor a client's.
	otherDescriptors = 48
	// dialDescriptors of these are kept from listeners of others: for files and
	// for connections that the process itself opens.
	dialDescriptors = 8
	leastTable      = 64 // connections below which there is no point in serving
)

func planDescriptors(cfg *Config, nofile uint64, cores int) (descriptorPlan, error) {
	limit := int(min(nofile, math.MaxInt32))
	p := descriptorPlan{limit: limit, loops: cfg.Loops}
	if p.loops == 0 {
		p.loops = min(cores, maxLoops)
	}
	p.fit(cfg.ExtraDescriptors)
	if p.maxTable < leastTable {
		return descriptorPlan{}, fmt.Errorf("RLIMIT_NOFILE is %d; at least %d descriptors are needed with %d loops: raise it with ulimit -n",
			nofile, limit-p.maxTable+leastTable, p.loops)
	}
	wanted := cfg.MaxConns
	switch cfg.FDTables {
	case SharedTable:
	case PerLoopTables:
		p.perLoop = true
	case AutoTables:
		p.perLoop = wanted > p.maxTable
	}
	if !p.perLoop {
		if wanted == 0 {
			wanted = p.maxTable
		}
		if wanted > p.maxTable {
			return p, fmt.Errorf("%d connections need more than the %d descriptors that RLIMIT_NOFILE %d leaves one table: raise it with ulimit -n, or use fd-tables per-loop",
				wanted, p.maxTable, nofile)
		}
		p.maxConns = wanted
		return p, nil
	}
	if wanted == 0 {
		wanted = p.share() * p.loops
	}
	need := p.loopsFor(wanted)
	for cfg.Loops == 0 && need > p.loops && need <= maxLoops {
		p.loops = need // they take room in every table, so it may take still more
		p.fit(cfg.ExtraDescriptors)
		need = p.loopsFor(wanted)
	}
	if need > p.loops || p.loops > maxLoops {
		return p, fmt.Errorf("%d connections need %d loops with RLIMIT_NOFILE %d, and %d were asked for (at most %d are possible)",
			wanted, need, nofile, p.loops, maxLoops)
	}
	p.maxConns = wanted
	return p, nil
}

// fit finds what the limit leaves one table for connections, where others may
// hold so many descriptors beyond the usual.
func (p *descriptorPlan) fit(extra int) {
	reserve := min(max(p.limit/8, 64), 1024)
	p.lingerMax = max(reserve/8, 8)
	p.maxTable = p.limit - max(reserve, otherDescriptors+extra+p.lingerMax+loopDescriptors*p.loops)
}

// forClients is the number that a client's descriptor must stay below. What
// lies above is for the loops to accept with.
func (p *descriptorPlan) forClients() int { return p.limit - loopDescriptors*p.loops }

// forOthers is that of connections that others in the process accept.
func (p *descriptorPlan) forOthers() int { return p.forClients() - dialDescriptors }

// share is how many connections a loop with a table of its own is planned to have.
func (p *descriptorPlan) share() int { return int(float64(p.maxTable) * spread) }

// capacity is how many connections the tables and loops of the plan can take.
func (p *descriptorPlan) capacity() int {
	if p.perLoop {
		return p.share() * p.loops
	}
	return p.maxTable
}

// loopsFor is how many loops take that many connections.
func (p *descriptorPlan) loopsFor(conns int) int {
	share := max(p.share(), 1)
	return (conns + share - 1) / share
}

// raiseNofile raises the soft limit on descriptors to the hard one and returns
// the limit now in force. It is the one setting of the host that limpet
// changes by itself, and it changes it for this process only.
func raiseNofile() (uint64, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	if lim.Cur < lim.Max {
		lim.Cur = lim.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			return 0, fmt.Errorf("raise RLIMIT_NOFILE to its hard limit %d: %w", lim.Max, err)
		}
	}
	return lim.Cur, nil
}

// partTable gives the calling loop's thread a descriptor table of its own, so
// that RLIMIT_NOFILE counts for this loop alone and loops share no table lock.
//
// The copy holds every descriptor that was open in the process. What a copy
// keeps open stays open after the original is closed, so everything is closed
// in it that the loop does not need: it keeps stdio, listeners, epoll and
// event descriptors (the loops wake each other through those), and own, the
// connection that was accepted just before. own in turn remains in the shared
// table, and is closed there by closeShared, which must run on a thread that
// still has that table.
//
// A thread with a table of its own must never run other goroutines: gnet
// unlocks its goroutine when the loop ends, so one more lock is taken here.
// The runtime then ends the thread with the goroutine, and the table with it.
func partTable(own int, closeShared func(fd int)) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		return fmt.Errorf("unshare(CLONE_FILES): %w", err)
	}
	if own >= 0 {
		closeShared(own)
	}
	fds, err := tableOf(unix.Gettid())
	if err != nil {
		return err
	}
	for _, fd := range fds {
		if fd > 2 && fd != own && !loopNeeds(fd) {
			_ = unix.Close(fd)
		}
	}
	return nil
}

// tryPart tells at start whether this system lets a thread part its table; a
// seccomp filter may not.
func tryPart() error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		result <- unix.Unshare(unix.CLONE_FILES)
	}()
	if err := <-result; err != nil {
		return fmt.Errorf("unshare(CLONE_FILES): %w", err)
	}
	return nil
}

// tableOf lists the descriptors of a thread. It uses plain system calls: the
// descriptor that reads the directory must not reach Go's network poller,
// which lives in the shared table.
func tableOf(tid int) ([]int, error) {
	dir := "/proc/self/task/" + strconv.Itoa(tid) + "/fd"
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open "+dir, err)
	}
	defer unix.Close(fd) //nolint:errcheck // read only
	var fds []int
	buf := make([]byte, 8192)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("getdents "+dir, err)
		}
		if n == 0 {
			return fds, nil
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if num, err := strconv.Atoi(name); err == nil && num != fd {
				fds = append(fds, num)
			}
		}
	}
}

// loopNeeds tells whether a copied descriptor must stay: listening sockets,
// and the epoll and event descriptors by which loops wait and wake each other.
func loopNeeds(fd int) bool {
	if v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil {
		return v == 1
	}
	var buf [64]byte
	n, err := unix.Readlink("/proc/thread-self/fd/"+strconv.Itoa(fd), buf[:])
	if err != nil {
		return true // nothing known: closing it could only harm
	}
	switch target := string(buf[:n]); target {
	case "anon_inode:[eventpoll]", "anon_inode:[eventfd]":
		return true
	default:
		return false
	}
}
