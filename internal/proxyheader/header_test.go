package proxyheader

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// v2 is a header of version 2: command and family, then the length of what
// follows, unless a test wants to say another.
func v2(command, family byte, rest string) string { return v2Of(command, family, len(rest), rest) }

func v2Of(command, family byte, length int, rest string) string {
	return signature + string([]byte{command, family, byte(length >> 8), byte(length)}) + rest
}

// tlv is a type, a length and a value, section 2.2.
func tlv(kind byte, value string) string {
	return string([]byte{kind, byte(len(value) >> 8), byte(len(value))}) + value
}

const (
	addresses4 = "\xc0\x00\x02\x01" + "\xc6\x33\x64\x01" + "\xdc\x04" + "\x01\xbb" // 192.0.2.1:56324 to 198.51.100.1:443
	addresses6 = "\x20\x01\x0d\xb8\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02" + "\xdc\x04" + "\x01\xbb"
	mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc6\x33\x64\x01" + "\xdc\x04" + "\x01\xbb"
)

// withSum appends the checksum of section 2.2.3, and changes it by spoil.
func withSum(command, family byte, addresses string, spoil uint32) string {
	header := []byte(v2(command, family, addresses+tlv(tlvCRC32C, "\x00\x00\x00\x00")))
	sum := crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)) ^ spoil
	binary.BigEndian.PutUint32(header[len(header)-4:], sum)
	return string(header)
}

var (
	addressesUnix = "/run/a" + strings.Repeat("\x00", 102) + "/run/b" + strings.Repeat("\x00", 102)
	// What HAProxy adds with send-proxy-v2-ssl-cn: client flags, verified, and
	// inside of that version and common name.
	tlvSSL     = tlv(0x20, "\x07\x00\x00\x00\x00"+tlv(0x21, "TLSv1.3")+tlv(0x22, "dev1"))
	longestV1  = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
	longUnkown = "PROXY UNKNOWN " + strings.Repeat("x", maxV1) + "\r\n"
)

const (
	local = 0x20
	proxy = 0x21
)

// headers is a table of what may come. Without err it is valid, and client is
// who is behind the load balancer: "" for nobody.
var headers = []struct {
	name, header string
	client       string
	err          error
}{
	{"v1 TCP4", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1:56324", nil},
	{"v1 TCP6", "PROXY TCP6 2001:db8:0:1::1 2001:db8:0:2::2 56324 443\r\n", "[2001:db8:0:1::1]:56324", nil},
	{"v1 TCP6, an IPv4 client", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 56324 443\r\n", "192.0.2.1:56324", nil},
	{"v1 TCP6 in full", "PROXY TCP6 2001:0DB8:0000:0001:0000:0000:0000:0001 ::1 0 65535\r\n", "[2001:db8:0:1::1]:0", nil},
	{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", "", nil},
	{"v1 UNKNOWN with addresses", "PROXY UNKNOWN 192.0.2.1 198.51.100.1 56324 443\r\n", "", nil},
	{"v1 of 107 bytes", longestV1, "", nil},

	{"v1 too long", longUnkown, "", ErrTooLong},
	{"v1 without an end", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443" + strings.Repeat(" ", maxV1), "", ErrTooLong},
	{"v1 LF alone", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n", "", ErrMalformed},
	{"v1 CR inside", "PROXY TCP4 192.0.2.1\r198.51.100.1 56324 443\r\n", "", ErrMalformed},
	{"v1 empty", "PROXY \r\n", "", ErrMalformed},
	{"v1 without a family", "PROXY 192.0.2.1 198.51.100.1 56324 443\r\n", "", ErrMalformed},
	{"v1 lower case", "proxy TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "", ErrMissing},
	{"v1 lower case family", "PROXY tcp4 192.0.2.1 198.51.100.1 56324 443\r\n", "", ErrMalformed},
	{"v1 lower case unknown", "PROXY unknown\r\n", "", ErrMalformed},
	{"v1 UDP", "PROXY UDP4 192.0.2.1 198.51.100.1 56324 443\r\n", "", ErrMalformed},
	{"v1 two blanks", "PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "", ErrMalformed},
	{"v1 tab", "PROXY\tTCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "", ErrMissing},
	{"v1 blank at the end", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n", "", ErrMalformed},
	{"v1 a word more", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 x\r\n", "", ErrMalformed},
	{"v1 a port less", "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n", "", ErrMalformed},
	{"v1 port above 65535", "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n", "", ErrMalformed},
	{"v1 negative port", "PROXY TCP4 192.0.2.1 198.51.100.1 -1 443\r\n", "", ErrMalformed},
	{"v1 port with a sign", "PROXY TCP4 192.0.2.1 198.51.100.1 +80 443\r\n", "", ErrMalformed},
	{"v1 port with a leading zero", "PROXY TCP4 192.0.2.1 198.51.100.1 080 443\r\n", "", ErrMalformed},
	{"v1 port in hexadecimal", "PROXY TCP4 192.0.2.1 198.51.100.1 0x50 443\r\n", "", ErrMalformed},
	{"v1 address with leading zeros", "PROXY TCP4 192.000.2.1 198.51.100.1 56324 443\r\n", "", ErrMalformed},
	{"v1 short address", "PROXY TCP4 192.0.2 198.51.100.1 56324 443\r\n", "", ErrMalformed},
	{"v1 name for an address", "PROXY TCP4 localhost 198.51.100.1 56324 443\r\n", "", ErrMalformed},
	{"v1 IPv6 as TCP4", "PROXY TCP4 ::1 ::1 56324 443\r\n", "", ErrMalformed},
	{"v1 IPv4 as TCP6", "PROXY TCP6 192.0.2.1 198.51.100.1 56324 443\r\n", "", ErrMalformed},
	{"v1 zone", "PROXY TCP6 fe80::1%eth0 ::1 56324 443\r\n", "", ErrMalformed},
	{"v1 bad destination", "PROXY TCP4 192.0.2.1 nowhere 56324 443\r\n", "", ErrMalformed},

	{"v2 TCP4", v2(proxy, 0x11, addresses4), "192.0.2.1:56324", nil},
	{"v2 TCP6", v2(proxy, 0x21, addresses6), "[2001:db8:0:1::1]:56324", nil},
	{"v2 TCP6, an IPv4 client", v2(proxy, 0x21, mapped), "192.0.2.1:56324", nil},
	{"v2 TCP4 with TLVs", v2(proxy, 0x11, addresses4+tlv(0x01, "h2")+tlv(0x04, "\x00\x00\x00")+tlv(0xea, "")), "192.0.2.1:56324", nil},
	{"v2 TCP6 with TLVs", v2(proxy, 0x21, addresses6+tlv(0x02, "gw.example.com")), "[2001:db8:0:1::1]:56324", nil},
	{"v2 with what TLS said", v2(proxy, 0x11, addresses4+tlvSSL), "192.0.2.1:56324", nil},
	{"v2 with a certificate", v2(proxy, 0x11, addresses4+tlv(0x28, strings.Repeat("c", 4000))), "192.0.2.1:56324", nil},
	{"v2 with a checksum", withSum(proxy, 0x11, addresses4, 0), "192.0.2.1:56324", nil},
	{"v2 with a checksum between TLVs", withSum(proxy, 0x21, addresses6+tlvSSL, 0), "[2001:db8:0:1::1]:56324", nil},
	{"v2 LOCAL", v2(local, 0x00, ""), "", nil},
	{"v2 LOCAL with an address", v2(local, 0x11, addresses4), "", nil},
	{"v2 LOCAL with half an address", v2(local, 0x11, addresses4[:7]), "", nil},
	{"v2 LOCAL with no TLVs behind its address", v2(local, 0x11, addresses4+"\x01"), "", nil},
	{"v2 UNSPEC", v2(proxy, 0x00, ""), "", nil},
	{"v2 UNSPEC with TLVs", v2(proxy, 0x00, tlv(0x05, "id")), "", nil},
	{"v2 UNIX", v2(proxy, 0x31, addressesUnix), "", nil},
	{"v2 of 4,112 bytes", v2(proxy, 0x11, addresses4+tlv(0x04, strings.Repeat("\x00", 4096-12-3))), "192.0.2.1:56324", nil},

	{"v2 UDP4", v2(proxy, 0x12, addresses4), "", ErrDatagram},
	{"v2 UDP6", v2(proxy, 0x22, addresses6), "", ErrDatagram},
	{"v2 version 1", v2(0x11, 0x11, addresses4), "", ErrMalformed},
	{"v2 version 3", v2(0x31, 0x11, addresses4), "", ErrMalformed},
	{"v2 command 2", v2(0x22, 0x11, addresses4), "", ErrMalformed},
	{"v2 family 4", v2(proxy, 0x41, addresses4), "", ErrMalformed},
	{"v2 LOCAL, family 4", v2(local, 0x41, addresses4), "", ErrMalformed},
	{"v2 transport 3", v2(proxy, 0x13, addresses4), "", ErrMalformed},
	{"v2 transport unspecified", v2(proxy, 0x10, addresses4), "", ErrMalformed},
	{"v2 without addresses", v2(proxy, 0x11, ""), "", ErrMalformed},
	{"v2 IPv4 too short", v2(proxy, 0x11, addresses4[:11]), "", ErrMalformed},
	{"v2 IPv6 too short", v2(proxy, 0x21, addresses6[:35]), "", ErrMalformed},
	{"v2 UNIX too short", v2(proxy, 0x31, addressesUnix[:215]), "", ErrMalformed},
	{"v2 of 4,113 bytes", v2(proxy, 0x11, addresses4+strings.Repeat("x", 4097-12)), "", ErrTooLong},
	{"v2 of 64 KiB", v2Of(proxy, 0x11, 0xffff, addresses4), "", ErrTooLong},
	{"v2 TLV cut off", v2(proxy, 0x11, addresses4+"\x01\x00"), "", ErrMalformed},
	{"v2 TLV beyond the end", v2(proxy, 0x11, addresses4+"\x01\x00\x09short"), "", ErrMalformed},
	{"v2 wrong checksum", withSum(proxy, 0x11, addresses4, 1), "", ErrChecksum},
	{"v2 short checksum", v2(proxy, 0x11, addresses4+tlv(tlvCRC32C, "\x00\x00")), "", ErrMalformed},

	{"an upgrade request", "GET /ws HTTP/1.1\r\n", "", ErrMissing},
	{"another method", "POST /ws HTTP/1.1\r\n", "", ErrMissing},
	{"an empty line", "\r\nGET /ws HTTP/1.1\r\n", "", ErrMissing},
	{"TLS", "\x16\x03\x01\x02\x00", "", ErrMissing},
	{"a signature with an error", "\r\n\r\n\x00\r\nQUIT\r" + "\x21\x11\x00\x0c" + addresses4, "", ErrMissing},
}

// Every header, whole and cut at every byte, alone and with a request behind
// it. A cut one waits for more or is known to be wrong; it is never taken for a
// whole one. A wrong one is never right with more behind it.
func TestHeaders(t *testing.T) {
	trusted := NewTrusted(nil)
	for _, c := range headers {
		t.Run(c.name, func(t *testing.T) {
			for _, rest := range []string{"", "GET /ws HTTP/1.1\r\n\r\n", "\r\n\r\n\x00"} {
				client, n, err := trusted.Read([]byte(c.header + rest))
				switch {
				case err != c.err:
					t.Fatalf("with %q behind it: %v, want %v", rest, err, c.err)
				case err != nil:
					if n != 0 || client.IsValid() {
						t.Errorf("an error with %d bytes and client %v", n, client)
					}
				case n != len(c.header):
					t.Errorf("it takes %d bytes, want %d", n, len(c.header))
				case text(client) != c.client:
					t.Errorf("client %s, want %s", text(client), c.client)
				}
			}
			failed := false
			for cut := range len(c.header) {
				_, n, err := trusted.Read([]byte(c.header[:cut]))
				if n != 0 {
					t.Fatalf("the first %d bytes are taken for a header of %d", cut, n)
				}
				if failed && err == nil {
					t.Fatalf("%d bytes are well, fewer were not", cut)
				}
				if err != nil && err != c.err {
					t.Fatalf("%d bytes: %v, want %v", cut, err, c.err)
				}
				failed = err != nil
			}
		})
	}
}

func text(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// Nothing that does not begin as a header does is kept for more of it.
func TestOtherBytesAreKnownAtOnce(t *testing.T) {
	for b := range 256 {
		_, _, err := readHeader([]byte{byte(b)})
		if may := b == 'P' || b == '\r'; may != (err == nil) || err != nil && err != ErrMissing {
			t.Errorf("byte %#x: %v", b, err)
		}
	}
	if _, n, err := readHeader(nil); n != 0 || err != nil {
		t.Errorf("nothing at all: %d, %v", n, err)
	}
}

// A connection that sends its header byte by byte makes no garbage meanwhile.
func TestNothingIsAllocatedForHalfAHeader(t *testing.T) {
	for _, header := range []string{"PROXY TCP4 192.0.2.1", v2(proxy, 0x11, addresses4)[:20]} {
		buf := []byte(header)
		if n := testing.AllocsPerRun(100, func() { _, _, _ = readHeader(buf) }); n != 0 {
			t.Errorf("%q: %v allocations", header, n)
		}
	}
}

// What the library writes is read, in both versions.
func TestHeadersOfTheLibrary(t *testing.T) {
	for _, source := range []string{"192.0.2.1:1", "[2001:db8::1]:65535"} {
		for version := range byte(2) {
			from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(source))
			header, err := proxyproto.HeaderProxyFromAddrs(version+1, from, from).Format()
			if err != nil {
				t.Fatal(err)
			}
			if client, n, err := readHeader(header); err != nil || n != len(header) || client.String() != source {
				t.Errorf("version %d: client %v, %d of %d bytes, %v; want %s", version+1, client, n, len(header), err, source)
			}
		}
	}
}

// For any input:
//
//   - no panic;
//   - at most 4,112 bytes are waited for, and at least the signature is;
//   - a header, once complete, is the same with anything behind it, and none of
//     its beginnings is a header;
//   - an error is one of this package, and stays one with more behind it;
//   - a client is an IPv4 or IPv6 address without a zone, never one in the form of the other.
func FuzzHeader(f *testing.F) {
	for _, c := range headers {
		f.Add([]byte(c.header))
		f.Add([]byte(c.header + "GET /ws HTTP/1.1\r\n"))
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		client, n, err := readHeader(buf)
		known := false
		for _, e := range []error{ErrMissing, ErrMalformed, ErrTooLong, ErrChecksum, ErrDatagram} {
			known = known || errors.Is(err, e)
		}
		more, m, again := readHeader(append(buf[:len(buf):len(buf)], "x"...))
		switch {
		case err != nil && (!known || n != 0 || client.IsValid()):
			t.Fatalf("%v with %d bytes and client %v", err, n, client)
		case err != nil && again == nil:
			t.Fatalf("%v, and with a byte more it is well", err)
		case err == nil && n == 0 && len(buf) >= maxV2:
			t.Fatalf("%d bytes, and it waits for more", len(buf))
		case n > len(buf) || n > maxV2 || n > 0 && n < len("PROXY UNKNOWN\r\n"):
			t.Fatalf("a header of %d bytes in %d", n, len(buf))
		case n > 0 && (m != n || more != client || again != nil):
			t.Fatalf("with a byte more it is %d bytes, client %v, %v", m, more, again)
		case client.IsValid() && (client.Addr().Is4In6() || client.Addr().Zone() != ""):
			t.Fatalf("client %v", client)
		}
		if n > 0 {
			for cut := range n {
				if _, m, _ := readHeader(buf[:cut]); m != 0 {
					t.Fatalf("the first %d of %d bytes are a header", cut, n)
				}
			}
		}
	})
}

// BenchmarkRead asks what a header adds to an accept that costs tens of
// microseconds in the kernel.
func BenchmarkRead(b *testing.B) {
	for _, c := range headers {
		if c.name != "v1 TCP4" && c.name != "v2 TCP4" && c.name != "v2 with what TLS said" {
			continue
		}
		buf := []byte(c.header)
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, n, err := readHeader(buf); n == 0 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
