package redisdir

import "sync"

// queue holds the names whose state has changed since it was last written to
// Redis. It holds no states: a name that changes again while it waits is
// still one entry, and the writer reads the table when it sends. So the last
// write per principal wins by construction, and the bound is on principals.
//
// Adding never blocks. Beyond the bound a name is not remembered; the queue
// is then overrun, and only a full resync makes the directory true again.
type queue struct {
	bound int

	mu       sync.Mutex
	waiting  [2]map[string]struct{} // guarded by mu: principals, groups
	sent     int                    // guarded by mu: taken and not yet settled
	peak     int                    // guarded by mu
	overruns uint64                 // guarded by mu
	overrun  bool                   // guarded by mu
	wake     chan struct{}
}

func newQueue(bound int) *queue {
	return &queue{
		bound:   bound,
		waiting: [2]map[string]struct{}{{}, {}},
		wake:    make(chan struct{}, 1),
	}
}

func lane(k kind) int {
	if k == groups {
		return 1
	}
	return 0
}

// add notes that name has changed. Any goroutine; never blocks; copies name.
func (q *queue) add(k kind, name []byte) {
	q.mu.Lock()
	names := q.waiting[lane(k)]
	if _, there := names[string(name)]; !there {
		if q.length() >= q.bound {
			q.overrun = true
			q.overruns++
			q.mu.Unlock()
			return
		}
		names[string(name)] = struct{}{}
		q.peak = max(q.peak, q.length())
	}
	first := len(names) == 1
	q.mu.Unlock()
	if first {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

func (q *queue) length() int { return len(q.waiting[0]) + len(q.waiting[1]) + q.sent }

// take moves up to n names of one kind to dst. They count against the bound
// until settle.
func (q *queue) take(k kind, n int, dst []string) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	names := q.waiting[lane(k)]
	for name := range names {
		if n--; n < 0 {
			break
		}
		delete(names, name)
		dst = append(dst, name)
		q.sent++
	}
	return dst
}

// settle ends the flight of names that take returned. Those that failed go
// back, where they meet later changes of the same name.
func (q *queue) settle(k kind, names []string, failed bool) {
	q.mu.Lock()
	q.sent -= len(names)
	if failed {
		for _, name := range names {
			q.waiting[lane(k)][name] = struct{}{}
		}
	}
	q.mu.Unlock()
}

// takeOverrun reports whether names were forgotten since it was last asked.
func (q *queue) takeOverrun() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.overrun
	q.overrun = false
	return was
}

type queueStats struct {
	length, peak int
	overruns     uint64
}

func (q *queue) stats() queueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return queueStats{q.length(), q.peak, q.overruns}
}
