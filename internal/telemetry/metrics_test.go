package telemetry

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/procfs"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
)

// fakeProc is a /proc of which the kernel's numbers are known.
func fakeProc(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "7", "net"), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"self": "7", "net": filepath.Join("self", "net")} {
		if err := os.Symlink(to, filepath.Join(root, from)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, "7", "net", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	sockstat  = "sockets: used 20\nTCP: inuse 9 orphan 2 tw 5 alloc 11 mem 3\nUDP: inuse 1 mem 0\n"
	sockstat6 = "TCP6: inuse 4\nUDP6: inuse 0\n"
	netstat   = "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPTimeouts\nTcpExt: 0 17 19 23\n"
	snmp      = "Tcp: RtoAlgorithm CurrEstab InSegs RetransSegs\nTcp: 1 8 100 29\n"
)

func TestReadHost(t *testing.T) {
	want := Host{
		InUse: 13, Established: 8, TimeWait: 5, Orphan: 2, Allocated: 11, BufferBytes: 3 * int64(os.Getpagesize()),
		ListenOverflows: 17, ListenDrops: 19, Timeouts: 23, Retransmits: 29,
	}
	all := map[string]string{"sockstat": sockstat, "sockstat6": sockstat6, "netstat": netstat, "snmp": snmp}
	got, err := ReadHost(fakeProc(t, all))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}

	delete(all, "sockstat6") // a host without IPv6
	want.InUse = 9
	got, err = ReadHost(fakeProc(t, all))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("without IPv6: %v (-want +got):\n%s", err, diff)
	}

	delete(all, "netstat")
	if _, err := ReadHost(fakeProc(t, all)); err == nil || !strings.Contains(err.Error(), "netstat") {
		t.Errorf("without netstat: %v, want an error that names it", err)
	}
}

// The parts sum up to what the runtime has from the system.
func TestMemoryPartsSumUp(t *testing.T) {
	table := registry.NewTable(registry.Config{Incarnation: 1})
	for i := range uint32(20_000) {
		if _, err := table.Add([]byte("somebody"+string(rune('A'+i%26))+string(rune('0'+i%1000))), session.ID{Incarnation: 1, Slot: i, Generation: 1}); err != nil {
			t.Fatal(err)
		}
	}
	m := (&Sources{Table: table}).Memory()
	if m.Registry != int64(table.Bytes()) || m.Registry < 500_000 {
		t.Errorf("the registry has %d B", m.Registry)
	}
	var sum int64
	for _, p := range m.parts() {
		if p.bytes < 0 {
			t.Errorf("%s has %d B", p.name, p.bytes)
		}
		sum += p.bytes
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	sum -= m.Program // is none of the runtime's
	if held := int64(stats.Sys - stats.HeapReleased); sum < held/2 || sum > 2*held {
		t.Errorf("the parts sum up to %d B, the runtime holds %d", sum, held)
	}
	self, err := procfs.Self()
	if err != nil {
		t.Fatal(err)
	}
	status, err := self.NewStatus()
	if err != nil {
		t.Fatal(err)
	}
	if files := int64(status.RssFile); m.Program < files/2 || m.Program > 2*files { // pages come and go
		t.Errorf("%d B of the program, the kernel says %d", m.Program, files)
	}
	if m.Resident < sum/4 {
		t.Errorf("%d B resident, %d in parts", m.Resident, sum)
	}
	runtime.KeepAlive(table)
}

// A node without any part still tells of the process, and nothing twice.
func TestMetricsOfNothing(t *testing.T) {
	m, err := NewMetrics(Sources{Node: "n1", Version: "1.2.3"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	for _, want := range []string{`limpet_build_info{node="n1",version="1.2.3"} 1`, "go_goroutines ", `limpet_memory_bytes{part="stacks"} `} {
		if strings.Count(w.Body.String(), "\n"+want) != 1 {
			t.Errorf("%q is not there once", want)
		}
	}
	if strings.Contains(w.Body.String(), "limpet_sessions") {
		t.Error("tells of sessions without an engine")
	}
}

// Names and units are chosen once, and every family has a help text.
func TestFamiliesAreDescribedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, families := range allFamilies {
		for _, f := range families {
			if text := f.desc.String(); seen[text] || strings.Contains(text, `help: ""`) {
				t.Errorf("twice or without help: %s", text)
			} else {
				seen[text] = true
			}
		}
	}
	if len(seen) < 40 {
		t.Errorf("%d families", len(seen))
	}
}
