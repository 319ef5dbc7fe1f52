package telemetry

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 30 * time.Second

// A connection whose peer has closed, and that is not closed here, is in
// CLOSE-WAIT, the peer's end in FIN-WAIT-2.
func TestCountStatesOfRealSockets(t *testing.T) {
	before, err := countStates()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const pairs = 5
	for range pairs {
		theirs, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ours, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		_ = theirs.(*net.TCPConn).CloseWrite()
		defer theirs.Close()
	}
	var got map[string]int64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if got, err = countStates(); err != nil {
			t.Fatal(err)
		}
		// Other tests of the machine have sockets too, which come and go.
		if got["close_wait"] >= pairs && got["fin_wait2"] >= pairs {
			return
		}
	}
	t.Errorf("before %v, with %d pairs half closed %v", before, pairs, got)
}

// message is one of the kernel's, with a body.
func message(kind uint16, body ...byte) []byte {
	b := make([]byte, unix.SizeofNlMsghdr, 64)
	binary.NativeEndian.PutUint32(b, uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	b = append(b, body...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func TestReadStates(t *testing.T) {
	const inet = unix.AF_INET
	refused := make([]byte, 4)
	errno := -int32(unix.EPERM)
	binary.NativeEndian.PutUint32(refused, uint32(errno))
	for _, c := range []struct {
		name  string
		bytes []byte
		left  int
		done  bool
		fault string
		count map[string]int64
	}{
		{"nothing", nil, 9, false, "", nil},
		{"two, and more to come", append(message(sockDiagByFamily, inet, 8), message(sockDiagByFamily, inet, 9, 0)...), 9, false, "", map[string]int64{"close_wait": 1, "last_ack": 1}},
		{"one and the end", append(message(sockDiagByFamily, inet, 12), message(unix.NLMSG_DONE)...), 9, true, "", map[string]int64{"syn_received": 1}},
		{"a state that was not asked for", message(sockDiagByFamily, inet, 1), 9, false, "", nil},
		{"the limit", append(message(sockDiagByFamily, inet, 8), message(sockDiagByFamily, inet, 8)...), 1, true, "", map[string]int64{"close_wait": 1}},
		{"an error", message(unix.NLMSG_ERROR, refused...), 9, true, "operation not permitted", nil},
		{"no length", make([]byte, 16), 9, true, "cut off", nil},
		{"a length beyond the end", message(sockDiagByFamily, inet, 8)[:17], 9, true, "cut off", nil},
		{"no body", message(sockDiagByFamily), 9, false, "", nil},
	} {
		count, left := map[string]int64{}, c.left
		done, err := readStates(c.bytes, count, &left)
		if done != c.done || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: done %v, %v", c.name, done, err)
		}
		for name, n := range c.count {
			if count[name] != n {
				t.Errorf("%s: %d %s, want %d", c.name, count[name], name, n)
			}
		}
		if len(count) != len(c.count) {
			t.Errorf("%s: %v, want %v", c.name, count, c.count)
		}
	}
}

// However many ask, the kernel walks its table once in a while.
func TestStatesAreRemembered(t *testing.T) {
	var c HostReader
	if _, err := c.states(); err != nil {
		t.Fatal(err)
	}
	first := c.last
	for range 100 {
		if _, err := c.states(); err != nil {
			t.Fatal(err)
		}
	}
	if c.last != first && c.last.Sub(first) < statesEvery {
		t.Errorf("counted again after %v", c.last.Sub(first))
	}
	c.last = time.Now().Add(-statesEvery)
	if _, err := c.states(); err != nil || time.Since(c.last) > statesEvery/2 {
		t.Errorf("not counted again, %v", err)
	}
}

// Both are of the namespace, so the sums bound what is counted.
func TestHostReader(t *testing.T) {
	h, err := new(HostReader).Read()
	if err != nil || h.States["close_wait"] < 0 || len(h.States) != 7 {
		t.Errorf("%+v, %v", h, err)
	}
	if h, err := (*HostReader)(nil).Read(); err != nil || h.States != nil {
		t.Errorf("without a reader: %+v, %v", h, err)
	}
}

func BenchmarkCountStates(b *testing.B) {
	for b.Loop() {
		if _, err := countStates(); err != nil {
			b.Fatal(err)
		}
	}
}
