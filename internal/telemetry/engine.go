package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
)

// transport is the label of what sessions speak; a session itself does not
// know.
const transport = "websocket"

var (
	sessions    = gauge("sessions", "Open sessions now.", "transport")
	conns       = gauge("connections", "Connections of clients now, by state: handshaking, undecided (their authentication is under way), open, closing, lingering (refused, and still reading why).", "transport", "state")
	connLimit   = gauge("connections_limit", "Connections above which newcomers are refused.")
	loops       = gauge("event_loops", "Event loops that have served a connection.")
	accepts     = counter("accepts_total", "Connections that were accepted from the kernel.", "transport")
	refusals    = counter("refusals_total", "Connections that became no session, by reason: limit (no room), overload (to save memory), admission (accept-rate and the limits of one address), draining, proxy_header (missing or malformed), request (not a valid upgrade request, or not let in; limpet_auth_decisions_total tells them apart).", "reason")
	unanswered  = counter("handshakes_unanswered_total", "Connections that ended before they were refused or became sessions, by cause: timeout (no complete request in handshake-timeout), peer_gone (as checks of load balancers and scans do).", "cause")
	upgrades    = counter("upgrades_total", "Connections that became sessions.", "transport")
	closes      = counter("closes_total", "Sessions that ended, by reason.", "reason")
	sockErrors  = counter("socket_errors_total", "Sessions that ended with an error of their socket, a reset for instance.")
	messages    = counter("messages_total", "Messages of and to sessions.", "direction")
	frames      = counter("frames_total", "WebSocket frames, control frames included.", "direction")
	bytes       = counter("bytes_total", "Bytes on the sockets of clients, headers included.", "direction")
	writes      = counter("writes_total", "Writes to the sockets of clients. One carries all that a client has waiting.")
	pings       = counter("heartbeat_pings_total", "Pings to clients that were silent for the heartbeat. Those that missed it are in limpet_closes_total{reason=\"heartbeat_missed\"}.")
	offline     = counter("pushes_offline_total", "Pushes to sessions that had gone.")
	reloads     = counter("config_reloads_total", "Reloads of the configuration, by result: done, or refused for its faults.", "result")
	drops       = counter("drops_total", "Messages that were dropped, by direction, priority and cause.", "direction", "priority", "cause")
	mailItems   = gauge("mailbox_messages", "Pushes that wait for an event loop now.")
	mailBytes   = gauge("mailbox_bytes", "Payload bytes of those.")
	mailFull    = counter("mailbox_full_total", "Pushes that were refused to their sender because a loop's mailbox was full.")
	outbox      = gauge("outbox_bytes", "Bytes that an event loop has taken and not written yet, as of the last tick.")
	unsent      = gauge("unsent_bytes", "Bytes that clients have not taken yet, beyond what the kernel holds for them.")
	sheds       = counter("sheds_total", "Sessions that were closed at a paced rate because the node is overloaded.")
	evictions   = counter("evictions_total", "Connections that were closed because all together held too many unsent or unfinished bytes, and these most.")
	unfinished  = gauge("unfinished_input_bytes", "Bytes of requests, frames and messages that are not complete.")
	tableCounts = gauge("registry_entries", "Entries of the node's own table.", "kind")
)

var engineFamilies = []family{sessions, conns, connLimit, loops, accepts, refusals, unanswered, upgrades, closes, sockErrors, messages,
	frames, bytes, writes, pings, offline, reloads, drops, mailItems, mailBytes, mailFull, outbox, unsent, sheds, evictions, unfinished, tableCounts}

func collectEngine(to chan<- prometheus.Metric, engine *reactor.Engine) {
	s := engine.Stats()
	send(to, sessions, s.Sessions, transport)
	send(to, conns, s.Handshaking, transport, "handshaking")
	send(to, conns, s.Undecided, transport, "undecided")
	send(to, conns, s.Open, transport, "open")
	send(to, conns, s.Closing, transport, "closing")
	send(to, conns, s.Lingering, transport, "lingering")
	send(to, connLimit, engine.Limits().MaxConns)
	send(to, loops, s.Loops)
	send(to, accepts, s.Accepted, transport)
	send(to, refusals, s.RefusedLimit, "limit")
	send(to, refusals, s.RefusedGate, "admission")
	send(to, refusals, s.RefusedDrain, "draining")
	send(to, refusals, s.RefusedLoad, "overload")
	send(to, refusals, s.RefusedProxy, "proxy_header")
	send(to, refusals, s.RefusedHTTP, "request")
	send(to, unanswered, s.SlowRequests, "timeout")
	send(to, unanswered, s.LeftEarly, "peer_gone")
	send(to, upgrades, s.Opened, transport)
	for _, r := range session.Reasons() { // also those that are 0: a rate needs a first value
		if r == session.HandshakeTimeout { // ends no session
			continue
		}
		send(to, closes, s.Closed[r], r.String())
	}
	send(to, sockErrors, s.SocketErrors)
	send(to, messages, s.MessagesIn, "in")
	send(to, messages, s.MessagesOut, "out")
	send(to, frames, s.FramesIn, "in")
	send(to, frames, s.MessagesOut+s.ControlsOut, "out")
	send(to, bytes, s.BytesIn, "in")
	send(to, bytes, s.BytesOut, "out")
	send(to, writes, s.Writes)
	send(to, pings, s.Pings)
	send(to, offline, s.Offline)
	for p, n := range s.DroppedSlow {
		send(to, drops, n, "out", session.Priority(p).String(), "slow_consumer")
	}
	send(to, drops, s.DroppedLoad, "out", session.Low.String(), "overload")
	send(to, mailItems, s.MailboxItems)
	send(to, mailBytes, s.MailboxBytes)
	send(to, mailFull, s.MailboxFull)
	send(to, outbox, s.OutboxBytes)
	send(to, unsent, s.UnsentBytes)
	send(to, sheds, s.Shed)
	send(to, evictions, s.Evicted)
	send(to, unfinished, s.UnfinishedBytes)
}

func collectTable(to chan<- prometheus.Metric, table *registry.Table) {
	s := table.Stats()
	send(to, tableCounts, s.Sessions, "session")
	send(to, tableCounts, s.Principals, "principal")
	send(to, tableCounts, s.Groups, "group")
	send(to, tableCounts, s.Memberships, "membership")
}
