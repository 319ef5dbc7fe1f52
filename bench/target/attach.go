package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/limpet-gateway/limpet/bench/probe"
)

// Attach describes a running server by its ws:// URL. pid 0 has it found from
// the listening socket when the address is one of this machine's.
func Attach(ctx context.Context, raw string, pid int, metrics string) (*Server, error) {
	u, err := parseURL(raw)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil || len(ips) == 0 {
		return nil, fmt.Errorf("--target %s: %w", raw, errors.Join(err))
	}
	addr, err := netip.ParseAddrPort(net.JoinHostPort(ips[0].Unmap().String(), port))
	if err != nil {
		return nil, fmt.Errorf("--target %s: %w", raw, err)
	}
	s := &Server{Name: u.Host, Addr: addr, Host: u.Host, Path: pathOf(u), PID: pid, Metrics: metrics, Broadcasts: true}
	if pid == 0 && isLocal(addr.Addr()) {
		s.PID, err = probe.Host().Listener(addr)
		if errors.Is(err, probe.ErrNoListener) {
			return nil, fmt.Errorf("--target %s: nothing listens there: start the server first, or use --spawn", raw)
		}
		if err != nil {
			return nil, fmt.Errorf("--target %s: %w", raw, err)
		}
	}
	if pid != 0 && !probe.Host().Alive(pid) {
		return nil, fmt.Errorf("--pid %d: there is no such process", pid)
	}
	if pid != 0 && isLocal(addr.Addr()) {
		if listens, known := probe.Host().Listens(pid, addr); known && !listens {
			s.Doubt = fmt.Sprintf("process %d, of --pid, does not listen on %s: another process does, and the figures of memory and CPU are not that one's", pid, addr)
		}
	}
	return s, nil
}

// CheckURL says what is wrong with the URL of a running server, if anything.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("--target %s: %w", raw, errors.Unwrap(err))
	}
	if u.Scheme != "ws" || u.Hostname() == "" || u.User != nil {
		return nil, fmt.Errorf("--target %s: want ws://HOST:PORT/PATH (TLS is not measured)", raw)
	}
	if _, err := strconv.ParseUint(u.Port(), 10, 16); err != nil && u.Port() != "" {
		return nil, fmt.Errorf("--target %s: want a port from 1 to 65535", raw)
	}
	return u, nil
}

// pathOf keeps "{n}" readable, which URL escaping would not.
func pathOf(u *url.URL) string {
	path := strings.ReplaceAll(u.EscapedPath(), "%7Bn%7D", "{n}")
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path
}

// isLocal says whether addr is an address of this machine.
func isLocal(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == addr.Unmap() {
			return true
		}
	}
	return false
}
