package bench

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/limpet-gateway/limpet/bench/load"
)

// advice says what to do about each kind of failure.
var advice = map[string]string{
	load.KindRefused:      "nothing accepts on that port (any more): see whether the server runs and listens there",
	load.KindTimeout:      "the server accepted but did not answer the upgrade in time: it may be out of descriptors (ulimit -n in its environment), overloaded (lower --rate) or stuck",
	load.KindReset:        "the server or the kernel reset the connection: see the server's log and its limits",
	load.KindClosed:       "the server closed the connection without a close frame: see its log and its limits (connections, descriptors)",
	load.KindGarbage:      "what listens there does not speak HTTP: check --target",
	load.KindTLS:          "what listens there speaks TLS: give the port of the server without TLS",
	load.KindBadAccept:    "the answer is HTTP 101 but not for this request: a proxy in between?",
	load.KindProtocol:     "the server sent a frame that RFC 6455 forbids",
	load.KindNoFile:       "this client is out of descriptors: raise ulimit -n, or let it use more processes with --clients",
	load.KindNoPorts:      "this client is out of source ports: wait for TIME_WAIT to pass, or widen net.ipv4.ip_local_port_range",
	load.KindNoMemory:     "the kernel has no memory for more sockets: raise net.ipv4.tcp_mem, or ask for fewer connections",
	load.KindUnreachable:  "there is no route to the server from this machine",
	load.KindNotSent:      "connections had ended, or took no more: see the server's log, or lower --msg-rate",
	load.KindWrongMessage: "the server must answer each message with itself, once (for limpet: --uplink echo)",
	"closed_4001":         "connections displaced each other: let each have an id of its own, with {n} in --target",
	"http_404":            "the server has no WebSocket at that path: check --target",
	"http_426":            "the server wants another protocol version: check --target",
	"http_401":            "the server wants authentication: put it into --target, or switch it off for the benchmark",
	"http_403":            "the server forbids it: check its Origin and address rules",
	"http_429":            "the server limits connections by address: raise that limit for the benchmark",
	"http_503":            "the server is at its connection limit: raise it (for limpet: --max-conns, nofile)",
}

// adviceFor says what to do about one kind of failure.
func adviceFor(kind string) string {
	switch {
	case advice[kind] != "":
		return advice[kind]
	case strings.HasPrefix(kind, "http_3"):
		return "the server redirects: give the address to which it redirects as --target"
	case strings.HasPrefix(kind, "http_"):
		return "the server answered the upgrade with that HTTP status instead of 101: see its log, and check --target (a port that wants TLS answers 400)"
	case strings.HasPrefix(kind, "closed_"):
		return "the server ended connections with that close code: see its log and its limits"
	default:
		return ""
	}
}

// explain adds one fault for failures by kind, the most frequent first.
func (t *trial) explain(kinds map[string]uint64, what string) {
	order := slices.SortedFunc(maps.Keys(kinds), func(a, b string) int {
		return cmp.Or(cmp.Compare(kinds[b], kinds[a]), cmp.Compare(a, b))
	})
	if len(order) == 0 {
		t.fault("", "%s", what)
		return
	}
	var parts []string
	for _, k := range order {
		parts = append(parts, fmt.Sprintf("%s × %d", k, kinds[k]))
	}
	t.fault(adviceFor(order[0]), "%s: %s", what, strings.Join(parts, ", "))
}
