package proxyheader

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
)

// Trusted reads the headers of those who may send them. Its methods may be
// called from any goroutine.
type Trusted struct {
	networks atomic.Pointer[[]netip.Prefix]
}

// NewTrusted returns a Trusted that believes networks; without any, nobody.
func NewTrusted(networks []netip.Prefix) *Trusted {
	t := new(Trusted)
	t.Set(networks)
	return t
}

// Set replaces the networks. Connections that are there stay as they are. It
// keeps networks.
func (t *Trusted) Set(networks []netip.Prefix) { t.networks.Store(&networks) }

// Due reports whether a connection from peer has to begin with a header. It
// looks at every network: some nanoseconds for each.
func (t *Trusted) Due(peer netip.Addr) bool {
	peer = peer.Unmap().WithZone("")
	for _, network := range *t.networks.Load() {
		if network.Contains(peer) {
			return true
		}
	}
	return false
}

// Read looks at the first bytes of a connection from which a header is due. n
// is the length of the header, or 0 while more of it is to come. client is who
// is behind the load balancer; it is not valid where the header names nobody:
// a check of the load balancer's own (LOCAL, UNKNOWN), or a client without an IP
// address (UNSPEC, UNIX). The error is one of those of this package.
func (*Trusted) Read(buf []byte) (client netip.AddrPort, n int, err error) { return readHeader(buf) }

// ParseNetworks reads networks as 10.0.0.0/8 or fd00::/8, and single addresses.
// A network with bits behind its prefix is an error: 10.0.0.1/8 is more often
// a mistake for 10.0.0.1 than meant to be half a continent.
func ParseNetworks(texts []string) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		network, err := parseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("network %q: %w", text, err)
		}
		networks = append(networks, network)
	}
	return networks, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("want it without the zone %s", addr.Zone())
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return network, errors.New("want an address, or one with a length as 10.0.0.0/8 or fd00::/8")
	}
	if network.Addr().Is4In6() {
		return network, errors.New("want an IPv4 network in the form of IPv4")
	}
	if network != network.Masked() {
		return network, fmt.Errorf("want %s, or a longer prefix", network.Masked())
	}
	return network, nil
}
