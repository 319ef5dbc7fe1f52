package config

import "fmt"

// frameHeader is the largest header of a frame from server to client: two
// bytes and a length of eight (RFC 6455 section 5.2); a server does not mask.
const frameHeader = 10

// messagesPerUplink is how many messages of the largest size must fit into the
// uplink's buffer. It is shared by priority, and a message is kept in a buffer
// of up to twice its size: with less, the lowest share could not hold one.
const messagesPerUplink = 32

// disagreements returns the faults of keys that are right by themselves and
// wrong together. Keys that already have a fault are left out: what would be
// said about them rests on a value that nobody gave.
func (l *Loaded) disagreements(known Faults) Faults {
	wrong := map[string]bool{}
	for _, f := range known {
		wrong[f.Key] = true
	}
	var faults Faults
	fault := func(key, problem string, others ...string) {
		for _, name := range append(others, key) {
			if wrong[name] {
				return
			}
		}
		row := keyNamed(key)
		faults = append(faults, Fault{key, shown(row, row.bind(&l.Serve).text()), l.origins[key], problem})
	}
	if !l.InsecureNoAuth {
		const advice = "nobody has to authenticate, so only loopback is allowed; use 127.0.0.1, or accept the risk with insecure-no-auth"
		if !isLoopback(l.Listen) {
			fault("listen", advice, "insecure-no-auth")
		}
		if !isLoopback(l.API) && l.APIToken == "" {
			fault("api", advice, "insecure-no-auth")
		}
	}
	if l.Listen == l.API && !portIsFree(l.Listen) {
		fault("api", "is the same address as listen", "listen")
	}
	if l.OutboundLimit < l.MaxMessageSize+frameHeader {
		fault("outbound-limit", fmt.Sprintf("want at least max-message-size and %d bytes of frame header, %s: a client could never be sent what it may send",
			frameHeader, FormatSize(int64(l.MaxMessageSize+frameHeader))), "max-message-size")
	}
	if l.MailboxBytes < l.MaxMessageSize {
		fault("mailbox-bytes", fmt.Sprintf("want at least max-message-size, %s", FormatSize(int64(l.MaxMessageSize))), "max-message-size")
	}
	if least := messagesPerUplink * int64(l.MaxMessageSize); l.Uplink == UplinkKafka && l.UplinkBuffer < least {
		fault("uplink-buffer", fmt.Sprintf("want at least %d times max-message-size, %s", messagesPerUplink, FormatSize(least)), "max-message-size", "uplink")
	}
	return faults
}

// keyNamed panics for a name that is not in the table: a rule is wrong.
func keyNamed(name string) Key {
	for _, key := range keys {
		if key.Name == name {
			return key
		}
	}
	panic("config: no key " + name)
}
