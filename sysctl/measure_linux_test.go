package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMeasureHere measures a socket on this kernel. Others on the machine open
// and close sockets too, so a disturbed run may be repeated.
func TestMeasureHere(t *testing.T) {
	if _, err := readSlabinfo(System()); errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("slabinfo cannot be read here: %v", err)
		}
		t.Skipf("slabinfo cannot be read here, root can: %v", err)
	}
	before := openDescriptors(t)
	var cost KernelCost
	var err error
	for range 10 {
		if cost, err = Measure(t.Context(), System(), MeasurePairs); !errors.Is(err, errDisturbed) {
			break
		}
	}
	if errors.Is(err, errDisturbed) {
		t.Skipf("ten times: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	// tcp_sock, inode, file and dentry: 2.5 to 8 KiB on every 64-bit kernel.
	if cost.SocketBytes < 2500 || cost.SocketBytes > 8192 {
		t.Errorf("a socket costs %d B", cost.SocketBytes)
	}
	if cost.QueuedPages < 1 || cost.QueuedPages > 8 {
		t.Errorf("a queued message is charged %d pages", cost.QueuedPages)
	}
	var sum float64
	for _, c := range cost.Caches {
		sum += c.Bytes
	}
	if d := sum - float64(cost.SocketBytes); d < -1 || d > 1 {
		t.Errorf("the caches make %.0f B, the total says %d B", sum, cost.SocketBytes)
	}
	if !strings.HasPrefix(cost.Source, "measured here: ") {
		t.Errorf("source %q", cost.Source)
	}
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	t.Logf("%d B: %+v", cost.SocketBytes, cost.Caches)
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestMeasureStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	root := tree{"proc/slabinfo": "TCP 1 1 2368 13 8 :"}.root(t)
	if _, err := Measure(ctx, root, MeasurePairs); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestMeasureSaysWhyNot(t *testing.T) {
	if _, err := Measure(t.Context(), tree{"x": "y"}.root(t), MeasurePairs); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without slabinfo: %v", err)
	}
	root := tree{"proc/slabinfo": "TCP 1 1 2368 13 8 :"}.root(t)
	if _, err := Measure(t.Context(), root, 10); err == nil || !strings.Contains(err.Error(), "600 are needed") {
		t.Errorf("with room for 10: %v", err)
	}
	var rl unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &rl); err != nil {
		t.Fatal(err)
	}
	if rl.Cur/4 >= fewestPairs {
		root = Root{Files: broken{Files: root.Files, reads: map[string]error{"proc/net/sockstat": errors.New("gone")}}, PageSize: 4096}
		if _, err := Measure(t.Context(), root, fewestPairs); err == nil || !strings.Contains(err.Error(), "gone") {
			t.Errorf("without sockstat: %v", err)
		}
	}
}

// The arithmetic of the attribution, on slabinfo as two sockets per connection
// leave it.
func TestSlabPerSocket(t *testing.T) {
	const line = "%s %d %d %d %d %d : tunables 0 0 0 : slabdata 0 0 0\n"
	slab := func(tcp, epi, bind, noise int) tree {
		return tree{"proc/slabinfo": "slabinfo - version: 2.1\n# name\n" +
			fmt.Sprintf(line, "TCP", tcp, tcp, 2368, 13, 8) + // 8 pages for 13: 2,520.6 B each
			fmt.Sprintf(line, "eventpoll_epi", epi, epi, 128, 32, 1) + // two objects each
			fmt.Sprintf(line, "tcp_bind_bucket", bind, bind, 128, 32, 1) + // one for each pair
			fmt.Sprintf(line, "vm_area_struct", noise, noise, 200, 20, 1)}
	}
	caches := func(tr tree) map[string]slabCache {
		m, err := readSlabinfo(tr.root(t))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	got := slabPerSocket(caches(slab(100, 50, 10, 5000)), caches(slab(100+4013, 50+7980, 10+2000, 5000+900)), 4000)
	if got.SocketBytes != 2521+2*128 || len(got.Caches) != 2 || got.Caches[0].Cache != "TCP" {
		t.Errorf("%+v", got)
	}
}

func TestSlabinfoAndSockstatFaults(t *testing.T) {
	for _, text := range []string{" ", "slabinfo - version: 2.1", "TCP one 1 1 1 1 :", "TCP -1 1 1 1 1 :"} {
		if m, err := readSlabinfo(tree{"proc/slabinfo": text}.root(t)); err == nil {
			t.Errorf("%q: %v", text, m)
		}
	}
	for _, text := range []string{" ", "TCP: inuse 1", "TCP: mem many", "UDP: mem 5"} {
		if n, err := readSockstat(tree{"proc/net/sockstat": text}.root(t)); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
	if n, err := readSockstat(tree{"proc/net/sockstat": "sockets: used 15\nTCP: inuse 1 orphan 0 tw 3 alloc 1 mem 197\n"}.root(t)); err != nil || n != 197 {
		t.Errorf("%d, %v", n, err)
	}
}

// Sockets that others opened or closed meanwhile show in a cache of which each
// socket has one object; such a round does not count.
func TestDisturbedRound(t *testing.T) {
	inodes := func(n int64) map[string]slabCache { return map[string]slabCache{"sock_inode_cache": {active: n}} }
	for grown, want := range map[int64]bool{1000: false, 1100: false, 900: false, 1400: true, 20_000: true, 500: true, -3000: true} {
		if got := disturbed(inodes(5000), inodes(5000+grown), 1000); got != want {
			t.Errorf("1,000 sockets opened and %d more inodes: disturbed %v", grown, got)
		}
	}
	if disturbed(nil, nil, 1000) {
		t.Error("a kernel without the cache is always disturbed")
	}
}
