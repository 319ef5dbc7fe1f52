package probe

import (
	"bytes"
	"errors"
	"os"
	"strconv"
)

// RSS sums the resident bytes of pid and its descendants from statm: cheap
// enough for many readings a second, and up to some hundred kilobytes off
// because the kernel keeps these counters per CPU. Figures come from Memory.
func (p Proc) RSS(pid int) (uint64, error) {
	tree, err := p.Tree(pid)
	if err != nil {
		return 0, err
	}
	var sum uint64
	for i, one := range tree {
		text, err := p.read(one, "statm")
		if err != nil {
			if i > 0 && errors.Is(err, ErrGone) {
				continue
			}
			return 0, err
		}
		if fields := bytes.Fields(text); len(fields) > 1 {
			pages, _ := strconv.ParseUint(string(fields[1]), 10, 64)
			sum += pages * uint64(os.Getpagesize())
		}
	}
	return sum, nil
}
