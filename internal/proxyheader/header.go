package proxyheader

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Why a connection is not served. The texts are answers to whoever runs the
// load balancer.
var (
	ErrMissing   = errors.New("no PROXY header, which connections from this address have to begin with")
	ErrMalformed = errors.New("the PROXY header is malformed")
	ErrTooLong   = errors.New("the PROXY header is too long")
	ErrChecksum  = errors.New("the checksum of the PROXY header is wrong")
	ErrDatagram  = errors.New("the PROXY header speaks of UDP")
)

// Limits of a header, in bytes.
const (
	maxV1 = 107 // section 2.1
	// maxV2 allows the 4 KiB behind the fixed part that the library does. The
	// certificate of a client takes most of it where there is one.
	maxV2   = fixedV2 + 4096
	fixedV2 = 16 // signature, version and command, family, length
)

// Fields of a header of version 2, section 2.2.
const (
	atCommand = 12
	atFamily  = 13
	atLength  = 14

	commandLocal = 0x20
	commandProxy = 0x21
	familyUnspec = 0x00
)

// readHeader looks at the first bytes of a connection. n is the length of the header,
// or 0 while more of it is to come. client is who is behind the load balancer;
// it is not valid where the header names nobody: a check of the load balancer's
// own (LOCAL, UNKNOWN), or a client without an IP address (UNSPEC, UNIX).
func readHeader(buf []byte) (client netip.AddrPort, n int, err error) {
	switch {
	case begins(buf, "PROXY "):
		n, err = lengthV1(buf)
	case begins(buf, string(proxyproto.SIGV2)):
		n, err = lengthV2(buf)
	default:
		err = ErrMissing
	}
	if err != nil || n == 0 {
		return netip.AddrPort{}, 0, err
	}
	if client, err = parse(buf[:n]); err != nil {
		return netip.AddrPort{}, 0, err
	}
	return client, n, nil
}

// begins reports whether buf begins with start, or is the beginning of it.
func begins(buf []byte, start string) bool {
	n := min(len(buf), len(start))
	return string(buf[:n]) == start[:n]
}

func lengthV1(buf []byte) (int, error) {
	end := bytes.IndexByte(buf[:min(len(buf), maxV1)], '\n')
	switch {
	case end >= 0:
		return end + 1, nil
	case len(buf) >= maxV1:
		return 0, ErrTooLong
	}
	return 0, nil
}

func lengthV2(buf []byte) (int, error) {
	if len(buf) > atCommand && buf[atCommand] != commandLocal && buf[atCommand] != commandProxy {
		return 0, ErrMalformed
	}
	if len(buf) < fixedV2 {
		return 0, nil
	}
	n := fixedV2 + int(binary.BigEndian.Uint16(buf[atLength:]))
	switch {
	case n > maxV2:
		return 0, ErrTooLong
	case n > len(buf):
		return 0, nil
	}
	return n, nil
}

// parse reads a complete header.
func parse(header []byte) (netip.AddrPort, error) {
	v2 := header[0] == proxyproto.SIGV2[0]
	if v2 && header[atCommand] == commandProxy && header[atFamily] == familyUnspec {
		// Section 2.2 leaves it to the receiver. The library refuses it; HAProxy
		// takes it, and sends it for clients without an IP address.
		return netip.AddrPort{}, nil
	}
	// A line of version 1 has to lie in the reader's buffer.
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(header), maxV1+1))
	switch {
	case err != nil:
		return netip.AddrPort{}, ErrMalformed
	case h.Command.IsLocal():
		return netip.AddrPort{}, nil // the rest is to be skipped, section 2.2
	}
	if v2 {
		if err := checkTLVs(header, fixedV2+addressesV2(header[atFamily])); err != nil {
			return netip.AddrPort{}, err
		}
	}
	switch source := h.SourceAddr.(type) {
	case *net.TCPAddr:
		a := source.AddrPort()
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
	case *net.UDPAddr:
		return netip.AddrPort{}, ErrDatagram
	}
	return netip.AddrPort{}, nil
}

// addressesV2 is what the addresses of a family occupy.
func addressesV2(family byte) int {
	switch family >> 4 {
	case 1: // two IPv4 addresses and ports
		return 12
	case 2: // IPv6
		return 36
	default: // two paths of sockets
		return 216
	}
}

const (
	tlvHead   = 3    // type and length
	tlvCRC32C = 0x03 // section 2.2.3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkTLVs looks at what follows the addresses, from at on.
func checkTLVs(header []byte, at int) error {
	for at < len(header) {
		if len(header)-at < tlvHead {
			return ErrMalformed
		}
		kind, size := header[at], int(binary.BigEndian.Uint16(header[at+1:]))
		at += tlvHead
		if size > len(header)-at || kind == tlvCRC32C && size != 4 {
			return ErrMalformed
		}
		if kind == tlvCRC32C && binary.BigEndian.Uint32(header[at:]) != sumWithout(header, at) {
			return ErrChecksum
		}
		at += size
	}
	return nil
}

// sumWithout is the checksum of header with zeros in the place of the checksum.
func sumWithout(header []byte, at int) uint32 {
	sum := crc32.Update(0, castagnoli, header[:at])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	return crc32.Update(sum, castagnoli, header[at+4:])
}
