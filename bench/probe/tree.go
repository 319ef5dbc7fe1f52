package probe

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// stat is what of /proc/PID/stat is used here.
type stat struct {
	ppid  int
	state byte
	ticks uint64 // user and system time
	start uint64 // ticks since boot
}

// readStat reads /proc/PID/stat. The name in parentheses may hold anything,
// so fields are counted from the last parenthesis.
func (p Proc) readStat(pid int) (stat, error) {
	text, err := p.read(pid, "stat")
	if err != nil {
		return stat{}, err
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("process %d: stat is not as in proc(5)", pid)
	}
	number := func(field int) uint64 { // as numbered in proc(5), from 1
		n, _ := strconv.ParseUint(string(fields[field-3]), 10, 64)
		return n
	}
	return stat{
		ppid: int(number(4)), state: fields[0][0],
		ticks: number(14) + number(15), start: number(22),
	}, nil
}

// pids lists every process.
func (p Proc) pids() ([]int, error) {
	entries, err := os.ReadDir(p.Root)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			out = append(out, pid)
		}
	}
	return out, nil
}

// Tree lists pid and all that descends from it, pid first. A server may do
// its work in children, so it is the tree that is measured.
func (p Proc) Tree(pid int) ([]int, error) {
	if _, err := p.readStat(pid); err != nil {
		return nil, err
	}
	all, err := p.pids()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, one := range all {
		if s, err := p.readStat(one); err == nil && s.state != 'Z' {
			children[s.ppid] = append(children[s.ppid], one)
		}
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		below := children[tree[i]]
		slices.Sort(below)
		tree = append(tree, below...)
	}
	return tree, nil
}

// Alive says whether pid exists and is not a zombie.
func (p Proc) Alive(pid int) bool {
	s, err := p.readStat(pid)
	return err == nil && s.state != 'Z' && s.state != 'X'
}
