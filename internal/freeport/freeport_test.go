package freeport

import (
	"net"
	"strconv"
	"testing"
)

func TestLoopback(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		addr, err := Loopback()
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(addr)
		if n, err := strconv.Atoi(port); err != nil || n < lowest || n >= rangeStart() {
			t.Fatalf("port %s, want %d to %d", port, lowest, rangeStart()-1)
		}
		seen[addr] = true
		l, err := net.Listen("tcp", addr) // it is free, and taken for the rest
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	if len(seen) != 50 {
		t.Errorf("%d addresses of 50 that were all taken", len(seen))
	}
}
