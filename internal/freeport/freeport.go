package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"syscall"
)

const (
	lowest   = 10_000
	attempts = 200
)

// Loopback returns an address of 127.0.0.1 on which nothing listens, with a
// port below the range of local ports of connections. Nothing keeps it: only
// chance keeps another test from taking the same, one in some 20,000.
func Loopback() (string, error) {
	below := rangeStart()
	for range attempts {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(lowest+rand.IntN(below-lowest)))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return "", fmt.Errorf("free port: %w", err)
		}
	}
	return "", fmt.Errorf("free port: none of %d tried from %d to %d is free", attempts, lowest, below-1)
}

// rangeStart is where the local ports of connections begin (ip(7),
// ip_local_port_range).
func rangeStart() int {
	const usual = 32_768
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return usual
	}
	var first, last int
	if _, err := fmt.Sscan(string(text), &first, &last); err != nil || first < lowest+1000 {
		return usual // a host that has given nearly all of them away: then chance has to do
	}
	return first
}
