package probe

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ, 100 on every Linux.
const tick = 10 * time.Millisecond

// CPU sums the user and system time of pid and its living descendants, to
// 10 ms each.
func (p Proc) CPU(pid int) (time.Duration, error) {
	tree, err := p.Tree(pid)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for i, one := range tree {
		s, err := p.readStat(one)
		if err != nil {
			if i > 0 && errors.Is(err, ErrGone) {
				continue
			}
			return 0, err
		}
		sum += time.Duration(s.ticks) * tick
	}
	return sum, nil
}

// HostCPU reads the busy and the total time of all cores since boot.
func (p Proc) HostCPU() (busy, total time.Duration, err error) {
	text, err := os.ReadFile(p.path("stat"))
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := bytes.Fields(line)
	// user nice system idle iowait irq softirq steal; guest times are in user.
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, 0, fmt.Errorf("%s is not as in proc(5)", p.path("stat"))
	}
	for i, f := range fields[1:9] {
		n, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", p.path("stat"), err)
		}
		total += time.Duration(n) * tick
		if i != 3 && i != 4 {
			busy += time.Duration(n) * tick
		}
	}
	return busy, total, nil
}

// Threads counts the threads of pid and its descendants.
func (p Proc) Threads(pid int) (int, error) {
	tree, err := p.Tree(pid)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, one := range tree {
		tasks, err := os.ReadDir(p.path(strconv.Itoa(one), "task"))
		if err == nil {
			n += len(tasks)
		}
	}
	return n, nil
}
