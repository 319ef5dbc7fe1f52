package proxyheader

import (
	"net/netip"
	"strconv"
	"testing"
)

func TestDue(t *testing.T) {
	networks, err := ParseNetworks([]string{"10.0.0.0/8", "192.0.2.7", "fd00::/8", "fe80::/64", "::ffff:198.51.100.9", "2001:db8::1"})
	if err != nil {
		t.Fatal(err)
	}
	trusted := NewTrusted(networks)
	for peer, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false,
		"192.0.2.7": true, "192.0.2.8": false, "::ffff:192.0.2.7": true,
		"fd12::1": true, "fe80::1%eth0": true, "fe80:0:0:1::1": false,
		"198.51.100.9": true, "198.51.100.8": false,
		"2001:db8::1": true, "2001:db8::2": false, "::1": false,
	} {
		if got := trusted.Due(netip.MustParseAddr(peer)); got != want {
			t.Errorf("%s: %v, want %v", peer, got, want)
		}
	}
	if trusted.Due(netip.Addr{}) {
		t.Error("a peer without an address is trusted")
	}
	trusted.Set(nil)
	if trusted.Due(netip.MustParseAddr("10.1.2.3")) {
		t.Error("trusted although the network is gone")
	}
}

func TestNetworksThatMustFail(t *testing.T) {
	for _, text := range []string{
		"", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "10.0/8", "010.0.0.0/8", "fd00::/129", "fd00::1/8", "fe80::1%eth0", "fe80::/64%eth0",
		"::ffff:10.0.0.0/104", "example.com", "*", "10.0.0.0-10.0.0.9", " 10.0.0.0/8",
	} {
		if networks, err := ParseNetworks([]string{text}); err == nil {
			t.Errorf("%q is read as %v", text, networks)
		}
	}
	everybody, err := ParseNetworks([]string{"0.0.0.0/0", "::/0"})
	if err != nil || !NewTrusted(everybody).Due(netip.MustParseAddr("203.0.113.1")) {
		t.Errorf("everybody: %v, %v", everybody, err)
	}
}

// BenchmarkDue asks what every accept pays: without load balancers, with three,
// and with as many networks as the configuration takes, none of them the
// peer's.
func BenchmarkDue(b *testing.B) {
	peer := netip.MustParseAddr("203.0.113.7")
	for _, n := range []int{0, 3, 64} {
		var networks []netip.Prefix
		for i := range n {
			networks = append(networks, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16))
		}
		trusted := NewTrusted(networks)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if trusted.Due(peer) {
					b.Fatal("trusted")
				}
			}
		})
	}
}
