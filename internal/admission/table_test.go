package admission

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func v4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

const second = int64(time.Second)

func TestConnsOfASource(t *testing.T) {
	table := NewTable(Limits{SourceConns: 3})
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range 3 {
		if counted, status, _ := table.admit(table.Source(a), 0); !counted || status != 0 {
			t.Fatalf("within the limit: %v, %d", counted, status)
		}
	}
	if counted, status, retry := table.admit(table.Source(a), 0); counted || status != 429 || retry != connsRetry {
		t.Fatalf("beyond the limit: %v, %d, %v", counted, status, retry)
	}
	// The same client through a socket that speaks both.
	if _, status, _ := table.admit(table.Source(netip.MustParseAddr("::ffff:192.0.2.1")), 0); status != 429 {
		t.Error("an IPv4 address in IPv6 form is another source")
	}
	if _, status, _ := table.admit(table.Source(b), 0); status != 0 {
		t.Error("another source is refused")
	}
	table.Leave(table.Source(a))
	if _, status, _ := table.admit(table.Source(a), 0); status != 0 {
		t.Error("refused although one has left")
	}
	if s := table.Stats(); s.Sources != 2 || s.RefusedSourceConns != 2 {
		t.Errorf("%+v", s)
	}
}

// An IPv6 client has 2^64 addresses; its /64 is the source.
func TestIPv6ByPrefix(t *testing.T) {
	table := NewTable(Limits{SourceConns: 2})
	for i, c := range []struct {
		addr   string
		status int
	}{{"2001:db8:0:1::1", 0}, {"2001:db8:0:1:ffff::2", 0}, {"2001:db8:0:1::3", 429}, {"2001:db8:0:2::1", 0}, {"fe80::1%eth0", 0}} {
		if _, status, _ := table.admit(table.Source(netip.MustParseAddr(c.addr)), 0); status != c.status {
			t.Errorf("%d: %s gets %d, want %d", i, c.addr, status, c.status)
		}
	}
}

func TestRateOfASource(t *testing.T) {
	table := NewTable(Limits{SourceRate: 10, SourceBurst: 5})
	a := v4(1)
	allowed := func(now int64) (n int, wait time.Duration) {
		for {
			_, status, retry := table.admit(table.Source(a), now)
			if status != 0 {
				return n, retry
			}
			n++
		}
	}
	if n, wait := allowed(0); n != 5 || wait != 100*time.Millisecond {
		t.Errorf("%d at once, then wait %v; want 5 and 100ms", n, wait)
	}
	if n, _ := allowed(second / 5); n != 2 {
		t.Errorf("%d after 200 ms, want 2", n)
	}
	if n, _ := allowed(3600 * second); n != 5 {
		t.Errorf("%d after an hour, want 5", n)
	}
}

// A source that has used up a burst of a slow rate does not wait by that rate
// once there is a faster one: its bucket is empty, not emptier than that.
func TestRateIsRaised(t *testing.T) {
	table := NewTable(Limits{SourceRate: 1, SourceBurst: 60})
	a := table.Source(v4(1))
	for status := 0; status == 0; {
		_, status, _ = table.admit(a, 0)
	}
	table.SetLimits(Limits{SourceRate: 100, SourceBurst: 200})
	if _, status, wait := table.admit(a, 0); status != 429 || wait != 10*time.Millisecond {
		t.Errorf("at once: %d, wait %v; want 429 and 10ms", status, wait)
	}
	if _, status, wait := table.admit(a, second/100); status != 0 {
		t.Errorf("after 10 ms: %d, wait %v", status, wait)
	}
}

func TestRateOfTheNode(t *testing.T) {
	table := NewTable(Limits{Rate: 100, SourceConns: 10})
	n := 0
	var retry time.Duration
	for i := uint32(0); ; i++ {
		counted, status, wait := table.admit(table.Source(v4(i)), 0)
		if status == 503 {
			retry = wait
			if counted {
				t.Error("a connection that is refused is counted")
			}
			break
		}
		n++
	}
	if n != 100 || retry != 10*time.Millisecond {
		t.Errorf("%d at once, then wait %v; want 100 and 10ms", n, retry)
	}
	if s := table.Stats(); s.Sources != 100 || s.RefusedRate != 1 {
		t.Errorf("%+v", s)
	}
	if _, status, _ := table.admit(table.Source(v4(9999)), second); status != 0 {
		t.Error("refused a second later")
	}
}

func TestNoLimitsCountNothing(t *testing.T) {
	table := NewTable(Limits{})
	for i := range uint32(1000) {
		if counted, status, _ := table.admit(table.Source(v4(i)), 0); counted || status != 0 {
			t.Fatalf("%v, %d without limits", counted, status)
		}
	}
	if table.shards.Load() != nil {
		t.Error("places are allocated that nobody needs")
	}
	// A limit that comes later counts from then on.
	table.SetLimits(Limits{SourceConns: 1})
	if counted, status, _ := table.admit(table.Source(v4(1)), 0); !counted || status != 0 {
		t.Errorf("%v, %d within the new limit", counted, status)
	}
	if _, status, _ := table.admit(table.Source(v4(1)), 0); status != 429 {
		t.Errorf("%d beyond the new limit", status)
	}
	table.SetLimits(Limits{})
	table.Leave(table.Source(v4(1))) // of when it was counted
}

// 200,000 addresses leave the table as large as it was, sources with
// connections keep their count through it, and those who find no place are
// let in.
func TestManyAddressesAreBounded(t *testing.T) {
	if size := unsafe.Sizeof(place{}); size != 24 {
		t.Errorf("a place takes %d bytes, want 24", size)
	}
	table := NewTable(Limits{SourceConns: 2, SourceRate: 1})
	// In one run of ten a set of places has more than its eight of these.
	var held []uint32
	for i := range uint32(10_000) {
		counted, status, _ := table.admit(table.Source(v4(i)), 0)
		if status != 0 {
			t.Fatalf("source %d gets %d", i, status)
		}
		if counted {
			held = append(held, i)
		}
	}
	if len(held) < 9_990 {
		t.Errorf("only %d of 10,000 sources found a place among %d", len(held), Places)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range uint32(200_000) {
		addr := v4(1<<24 + i)
		if counted, status, _ := table.admit(table.Source(addr), int64(i)); status != 0 {
			t.Fatalf("a new source gets %d", status)
		} else if counted {
			table.Leave(table.Source(addr))
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<10 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if s := table.Stats(); s.Sources != len(held) {
		t.Errorf("%d sources have connections, want %d: %+v", s.Sources, len(held), s)
	}
	for _, i := range held {
		table.Leave(table.Source(v4(i))) // panics if it was forgotten
	}
	// More sources with connections than places.
	full := NewTable(Limits{SourceConns: 1})
	counted := 0
	for i := range uint32(2 * Places) {
		ok, status, _ := full.admit(full.Source(v4(i)), 0)
		if status != 0 {
			t.Fatalf("a source without a place gets %d", status)
		}
		if ok {
			counted++
		}
	}
	if s := full.Stats(); s.Sources != counted || int(s.Uncounted) != 2*Places-counted || counted < Places*9/10 {
		t.Errorf("%d counted of %d places: %+v", counted, Places, s)
	}
}

// Whatever comes and goes, no source has more connections than it may, and
// one below its limits is refused by none.
func TestAgainstAModel(t *testing.T) {
	table, base := NewTable(Limits{}), uint32(0)
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		base++ // one table for all checks: each has sources of its own
		table.SetLimits(Limits{SourceConns: limit})
		conns := map[uint32]int{}
		t.Repeat(map[string]func(*rapid.T){
			"come": func(t *rapid.T) {
				i := rapid.Uint32Range(0, 5).Draw(t, "source")
				_, status, _ := table.admit(table.Source(v4(base<<8|i)), 0)
				if (status == 0) != (conns[i] < limit) {
					t.Fatalf("status %d with %d of %d connections", status, conns[i], limit)
				}
				if status == 0 {
					conns[i]++
				}
			},
			"go": func(t *rapid.T) {
				i := rapid.Uint32Range(0, 5).Draw(t, "source")
				if conns[i] == 0 {
					t.Skip("has none")
				}
				conns[i]--
				table.Leave(table.Source(v4(base<<8 | i)))
			},
		})
	})
}

func TestLoopsAtOnce(t *testing.T) {
	table := NewTable(Limits{SourceConns: 50, SourceRate: 1 << 20, Rate: 1 << 20})
	var loops sync.WaitGroup
	for range 4 {
		loops.Go(func() {
			for range 20_000 {
				addr := v4(rand.Uint32N(100))
				if counted, _, _ := table.Admit(table.Source(addr)); counted {
					table.Leave(table.Source(addr))
				}
			}
		})
	}
	loops.Go(func() { table.SetLimits(Limits{SourceConns: 1}) })
	loops.Wait()
	if s := table.Stats(); s.Sources != 0 {
		t.Errorf("%d sources are left", s.Sources)
	}
}

func TestLimitsThatMustFail(t *testing.T) {
	for _, l := range []Limits{{Rate: -1}, {SourceConns: -1}, {SourceRate: -1}, {SourceBurst: -1}, {Rate: maxLimit + 1}} {
		if l.Validate() == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
}

// BenchmarkAdmit asks what all limits together add to an accept, which costs
// tens of microseconds in the kernel: the source of an address and Admit
// alone, which is to stay below 100 ns; and with the end of the connection. A
// hundred thousand sources, no allocation.
func BenchmarkAdmit(b *testing.B) {
	addrs := make([]netip.Addr, 100_000)
	for i := range addrs {
		addrs[i] = v4(rand.Uint32())
	}
	for _, ends := range []bool{false, true} {
		name := "accept"
		if ends {
			name = "accept-and-end"
		}
		b.Run(name, func(b *testing.B) {
			table := NewTable(Limits{Rate: maxLimit, SourceConns: maxLimit, SourceRate: maxLimit})
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				addr := addrs[i]
				if i++; i == len(addrs) {
					i = 0
				}
				if counted, _, _ := table.Admit(table.Source(addr)); counted && ends {
					table.Leave(table.Source(addr))
				}
			}
		})
	}
}
