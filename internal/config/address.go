package config

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

const wantAddress = "HOST:PORT with a port from 0 to 65535, as 127.0.0.1:8080, [::1]:8080 or :8080"

func asIs(text string) string { return text }

// address is where a server listens: the host may be empty, the port 0.
func address(field *string) value {
	return checked(field, "host:port", wantAddress, asIs, func(text string) (string, bool) {
		return text, isAddress(text, 0) || strings.HasPrefix(text, ":") && isAddress("h"+text, 0)
	})
}

// localAddress is where a server listens that nobody has to authenticate to.
func localAddress(field *string) value {
	want := "127.0.0.1:PORT with a port from 0 to 65535"
	return checked(field, "host:port", want, asIs, func(text string) (string, bool) {
		return text, isAddress(text, 0) && strings.HasPrefix(text, "127.0.0.1:")
	})
}

// addressList is a list of peers to connect to: each needs a host and a port.
func addressList(field *[]string) value {
	return list{field, "host:port,...", "HOST:PORT with a port from 1 to 65535, as 10.0.0.1:9092", func(text string) bool {
		return isAddress(text, 1)
	}}
}

// isAddress reports whether text is HOST:PORT with a host that is an IP
// address or has the letters of a name (RFC 952, RFC 1123, and underscores,
// which container networks use), and a port from lowest to 65535.
func isAddress(text string, lowest int) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < lowest || n > 65535 || strconv.Itoa(n) != port {
		return false
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return hostName.MatchString(host) && !onlyDigitsAndDots.MatchString(host)
}

var (
	hostName          = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?\.?$`)
	onlyDigitsAndDots = regexp.MustCompile(`^[0-9.]+$`) // a mistyped IPv4 address, never a name (RFC 1123 section 2.1)
	nodeName          = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	topicStart        = regexp.MustCompile(`^[A-Za-z0-9._-]{0,200}$`)
	token             = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
)

// isLoopback reports whether only this host can reach address. A name other
// than localhost might resolve to anything, so it does not count as loopback.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// nodeID is used in Redis keys, Kafka headers, metric labels and file names.
func nodeID(field *string) value {
	want := "1 to 63 letters, digits, dots, hyphens and underscores, a letter or digit at both ends"
	return checked(field, "id", want, asIs, func(text string) (string, bool) {
		return text, nodeName.MatchString(text)
	})
}

// nodeFromHost makes a node id of a host's name: what an id may not contain
// becomes a hyphen.
func nodeFromHost(host string) string {
	id := strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, host)
	if len(id) > 63 {
		id = id[:63]
	}
	if id = strings.Trim(id, ".-_"); id == "" {
		return "limpet"
	}
	return id
}

// topicName is the name of a topic or group, or the start of one. It leaves
// room for the longest name that is put behind it within Kafka's 249
// characters.
func topicName(field *string) value {
	want := "at most 200 letters, digits, dots, hyphens and underscores"
	return checked(field, "text", want, asIs, func(text string) (string, bool) {
		return text, topicStart.MatchString(text)
	})
}

// tokenList is a list of tokens of RFC 9110 section 5.6.2, which is what a
// subprotocol has to be (RFC 6455 section 4.1).
func tokenList(field *[]string) value {
	return list{field, "name,...", "a token of RFC 9110: at most 64 letters, digits and !#$%&'*+-.^_`|~", token.MatchString}
}

// networkList is a list of networks, and of addresses that stand for
// themselves.
func networkList(field *[]string) value {
	return list{field, "CIDR,...", "a network or an address, as 10.0.0.0/8, fd00::/8 or 10.0.0.7, without bits behind the prefix", isNetwork}
}

func isNetwork(text string) bool {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Zone() == ""
	}
	network, err := netip.ParsePrefix(text)
	return err == nil && network == network.Masked() && !network.Addr().Is4In6()
}

func path(field *string) value {
	return checked(field, "path", "a path of at most 4096 bytes", asIs, func(text string) (string, bool) {
		return text, len(text) <= 4096 && !strings.ContainsRune(text, 0)
	})
}

// portIsFree reports whether address asks for any free port.
func portIsFree(address string) bool { return strings.HasSuffix(address, ":0") }
