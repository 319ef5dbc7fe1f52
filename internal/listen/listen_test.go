package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

const patience = 30 * time.Second

func open(t *testing.T, limits Limits) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bounded := Bound(l, limits)
	t.Cleanup(func() { bounded.Close() })
	return bounded
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", l.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// accept accepts in the background.
func accept(l net.Listener) <-chan net.Conn {
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	return accepted
}

func TestConnectionsAboveTheLimitWait(t *testing.T) {
	l := open(t, Limits{Conns: 1})
	dial(t, l)
	first := <-accept(l)
	dial(t, l)
	second := accept(l)
	select {
	case <-second:
		t.Fatal("a second connection within a limit of one")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close() // gives its place back once
	select {
	case c := <-second:
		c.Close()
	case <-time.After(patience):
		t.Fatal("the place that became free is not used")
	}
}

func TestDescriptorsAboveTheBoundAreGivenBack(t *testing.T) {
	probe, err := os.Open(os.DevNull) // the lowest free number, about
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	below := int(probe.Fd()) + 40
	l := open(t, Limits{Conns: 1000, Descriptors: below})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	for range 60 { // both ends are here: 120 descriptors
		c := dial(t, l)
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return
		}
	}
	t.Fatalf("no connection was closed for a descriptor of %d or more", below)
}

// full fails as accept(2) does without a descriptor, some times.
type full struct {
	net.Listener
	mu    sync.Mutex
	times int
}

func (f *full) Accept() (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.times--; f.times >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return f.Listener.Accept()
}

func TestAcceptOutlivesAFullTable(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Bound(&full{Listener: inner, times: 2}, Limits{Conns: 1})
	defer l.Close()
	dial(t, l)
	select {
	case c := <-accept(l):
		if c == nil {
			t.Fatal("Accept failed for a table that was full for a moment")
		}
		c.Close()
	case <-time.After(patience):
		t.Fatal("Accept does not come back")
	}
}

func TestCloseEndsAccept(t *testing.T) {
	for name, times := range map[string]int{"waiting for a connection": 0, "waiting for a descriptor": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l := Bound(&full{Listener: inner, times: times}, Limits{Conns: 1})
			ended := make(chan error, 1)
			go func() { _, err := l.Accept(); ended <- err }()
			l.Close()
			select {
			case err := <-ended:
				if err == nil {
					t.Fatal("a connection from a closed listener")
				}
			case <-time.After(patience):
				t.Fatal("Accept does not end")
			}
		})
	}
	l := open(t, Limits{Conns: 1})
	dial(t, l)
	held := <-accept(l)
	defer held.Close()
	waiting := accept(l)
	l.Close()
	select {
	case <-waiting:
	case <-time.After(patience):
		t.Fatal("an Accept that waits for a place does not end")
	}
}
