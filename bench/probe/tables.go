package probe

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const kcmpFiles = 2 // KCMP_FILES of linux/kcmp.h

// OneTable says whether all threads of pid share one descriptor table, so
// that nofile limits them together. Where kcmp(2) is not permitted it is taken
// to be so, as it is for almost every program.
func (p Proc) OneTable(pid int) bool {
	tasks, err := os.ReadDir(p.path(strconv.Itoa(pid), "task"))
	if err != nil {
		return true
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil || tid == pid {
			continue
		}
		// 0: the same; 1, 2 or 3: another.
		order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid), uintptr(tid), kcmpFiles, 0, 0, 0)
		if errno == 0 && order != 0 {
			return false
		}
	}
	return true
}
