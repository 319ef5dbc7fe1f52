package meter

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// tree is a root directory with files.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const statm = "1000 300 10 1 0 200 0\n"

func TestMemory(t *testing.T) {
	page := int64(os.Getpagesize())
	for name, c := range map[string]struct {
		files   map[string]string
		ofGroup bool
		want    Memory
		fault   string
	}{
		"process": {map[string]string{"proc/self/statm": statm}, false, Memory{300*page + 10*SocketBytes, 300 * page, 10 * SocketBytes}, ""},
		"version 2": {map[string]string{
			"proc/self/statm": statm, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.current": "1000000\n",
			"sys/fs/cgroup/a/b/memory.stat":    "anon 5\nfile 9\ninactive_file 100\nactive_file 20\nslab_reclaimable 3\nsock 7000\n",
		}, true, Memory{1000000 - 123, 300 * page, 10*SocketBytes + 7000}, ""},
		"version 2 in a container whose path is the host's": {map[string]string{
			"proc/self/statm": statm, "proc/self/cgroup": "0::/host/path\n",
			"sys/fs/cgroup/memory.current": "500\n", "sys/fs/cgroup/memory.stat": "inactive_file 600\n",
		}, true, Memory{0, 300 * page, 10 * SocketBytes}, ""},
		"version 1": {map[string]string{
			"proc/self/statm": statm, "proc/self/cgroup": "7:cpu,cpuacct:/x\n4:hugetlb,memory:/m\n0::/\n",
			"sys/fs/cgroup/memory/m/memory.usage_in_bytes": "9000\n",
			"sys/fs/cgroup/memory/m/memory.stat":           "cache 1\ninactive_file 1\ntotal_inactive_file 1000\ntotal_active_file 2000\n",
		}, true, Memory{6000, 300 * page, 10 * SocketBytes}, ""},
		"no group":    {map[string]string{"proc/self/statm": statm, "proc/self/cgroup": "7:cpu:/x\n"}, true, Memory{}, "no control group"},
		"no process":  {nil, false, Memory{}, "statm"},
		"odd process": {map[string]string{"proc/self/statm": "many"}, false, Memory{}, "statm"},
		"no stat": {map[string]string{"proc/self/statm": statm, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.current": "500\n"},
			true, Memory{}, "memory.stat"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := newMemoryMeter(tree(t, c.files), c.ofGroup)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Fatalf("error %v, want one about %q", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := m.Read(10); err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// This process, as it is: more memory shows, and what is garbage is releasable.
func TestThisProcess(t *testing.T) {
	m, err := NewMemoryMeter(false)
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Read(0)
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	held := make([]byte, size)
	for i := 0; i < size; i += os.Getpagesize() {
		held[i] = 1
	}
	after, err := m.Read(0)
	if err != nil || after.Charged < before.Charged+size/2 || after.Charged != after.Resident {
		t.Errorf("%+v after %+v, %v", after, before, err)
	}
	runtime.GC()
	live := Releasable()
	runtime.KeepAlive(held)
	held = nil
	runtime.GC()
	if free := Releasable(); free < live+size/2 {
		t.Errorf("%d releasable with %d of garbage, %d before", free, size, live)
	}
}

func TestCPU(t *testing.T) {
	var m CPUMeter
	begun := time.Now()
	if s := m.Share(begun); s != 0 {
		t.Errorf("the first share is %v", s)
	}
	used := m.used
	n := 0
	for m.used-used < 50*time.Millisecond { // works until it shows
		for range 1 << 20 {
			n++
		}
		begun = begun.Add(time.Second)
		if s := m.Share(begun); s < 0 || s > 1 {
			t.Fatalf("share %v", s)
		}
	}
	before := m
	if s := m.Share(before.at); s != 0 {
		t.Errorf("share %v of no time", s)
	}
	_ = n
}

func BenchmarkRead(b *testing.B) {
	m, err := NewMemoryMeter(false)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Read(1000); err != nil {
			b.Fatal(err)
		}
		Releasable()
	}
}
