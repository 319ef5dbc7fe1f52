package probe

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// RunTime sums the time that the living threads of pid have run, to the
// nanosecond (schedstat of each): for what is too little for CPU. Threads that
// have ended are missing, so it is for servers whose threads stay.
func (p Proc) RunTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(p.path(strconv.Itoa(pid), "task", "*", "schedstat"))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("run time of process %d: the kernel does not tell (schedstat)", pid)
	}
	var sum time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		ran, _, _ := bytes.Cut(text, []byte(" "))
		n, err := strconv.ParseInt(string(ran), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s is not as in proc(5)", file)
		}
		sum += time.Duration(n)
	}
	return sum, nil
}
