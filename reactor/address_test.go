package reactor

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
)

func wantInUse(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%s: %v, want an address in use", what, err)
	}
}

// closeEngine ends an engine, started or not.
func closeEngine(t *testing.T, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestAddressInUse(t *testing.T) {
	e := startEngine(t, Config{}, &recorder{})
	_, err := New(Config{Addr: e.Addr().String()}, &recorder{})
	wantInUse(t, "a second engine", err)

	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = New(Config{Addr: other.Addr().String()}, &recorder{})
	wantInUse(t, "where another program listens", err)
}

// Between New and Start the port is nobody else's, and Close gives it back.
func TestAddressIsHeld(t *testing.T) {
	t.Parallel()
	e, err := New(Config{Addr: "127.0.0.1:0"}, &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: e.Addr().(*net.TCPAddr).Port}}
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	conn, err := from.Dial("tcp", target.Addr().String())
	wantInUse(t, "the port as the source of a connection", err)
	if err == nil {
		conn.Close()
	}
	closeEngine(t, e)
	closeEngine(t, e) // once more does no harm
	again, err := net.Listen("tcp", e.Addr().String())
	if err != nil {
		t.Fatalf("the address was not given back: %v", err)
	}
	again.Close()
	if err := e.Start(); err == nil {
		t.Error("an engine starts after its Close")
	}
}

// Two gateways that find the address free at the same time do not come to
// share it.
func TestAddressIsNotShared(t *testing.T) {
	t.Parallel()
	first, err := New(Config{Addr: "127.0.0.1:0"}, &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeEngine(t, first)
	second, err := New(Config{Addr: first.Addr().String()}, &recorder{})
	if err != nil {
		return // found out sooner, as well
	}
	defer closeEngine(t, second)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	wantInUse(t, "the second one's start", second.Start())
}

func TestAddressForms(t *testing.T) {
	t.Parallel()
	addresses := []string{"127.0.0.1:0", ":0", "0.0.0.0:0", "localhost:0"}
	if ln, err := net.Listen("tcp6", "[::1]:0"); err == nil { // a host with IPv6
		ln.Close()
		addresses = append(addresses, "[::]:0", "[::1]:0")
	}
	for _, address := range addresses {
		e, err := New(Config{Addr: address}, &recorder{})
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if err := e.Start(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		for _, to := range clientAddresses(e.Addr().(*net.TCPAddr)) {
			if conn, err := net.Dial("tcp", to); err != nil {
				t.Errorf("%s: dial %s: %v", address, to, err)
			} else {
				conn.Close()
			}
		}
		closeEngine(t, e)
	}
}

// clientAddresses are those at which a client finds an address: where there is
// no host, IPv4 as well.
func clientAddresses(addr *net.TCPAddr) []string {
	if addr.IP.Equal(net.IPv6unspecified) {
		return []string{addr.String(), fmt.Sprintf("127.0.0.1:%d", addr.Port)}
	}
	return []string{addr.String()}
}
