package config

import (
	"fmt"
	"slices"
	"strings"
)

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
	const advice = "nobody has to authenticate, so only loopback is allowed; use 127.0.0.1, set %s, or accept the risk with insecure-no-auth"
	if !l.InsecureNoAuth && !l.Authenticates() && !isLoopback(l.Listen) {
		fault("listen", fmt.Sprintf(advice, "auth"), "insecure-no-auth", "auth")
	}
	if !l.InsecureNoAuth && l.APIToken == "" && !isLoopback(l.API) {
		fault("api", fmt.Sprintf(advice, "api-token"), "insecure-no-auth", "api-token")
	}
	l.authFaults(fault)
	if l.Bus == BusKafka && l.Uplink != UplinkKafka {
		fault("bus", "kafka needs uplink kafka", "uplink")
	}
	if l.Bus == BusRedis && l.Redis == "" {
		fault("bus", "redis needs redis, the URL", "redis")
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

// authFaults finds methods without what they need, and what no method reads: a
// secret that silently does nothing is as bad as one that is missing.
func (l *Loaded) authFaults(fault func(key, problem string, others ...string)) {
	switch {
	case len(l.Auth) == 0:
		fault("auth", "want at least one of none, jwt, webhook")
		return
	case len(l.Auth) > 1 && !l.Authenticates():
		fault("auth", "none believes everybody, so it cannot be one of several")
		return
	}
	jwt, webhook := slices.Contains(l.Auth, AuthJWT), slices.Contains(l.Auth, AuthWebhook)
	if jwt && l.JWTSecret == "" && len(l.JWTKeys) == 0 && l.JWTJWKS == "" {
		fault("auth", "jwt needs one of jwt-secret, jwt-keys and jwt-jwks", "jwt-secret", "jwt-keys", "jwt-jwks")
	}
	if jwt && l.JWTSecretOld != "" && l.JWTSecret == "" {
		fault("jwt-secret-old", "is for while jwt-secret is being exchanged, and there is none", "jwt-secret")
	}
	if webhook && l.WebhookURL == "" {
		fault("auth", "webhook needs webhook-url", "webhook-url")
	}
	if webhook && l.WebhookTimeout >= l.AuthTimeout {
		fault("webhook-timeout", "want less than auth-timeout, "+formatDuration(l.AuthTimeout), "auth-timeout")
	}
	for _, unread := range []struct {
		key       string
		set, read bool
	}{
		{"jwt-secret", l.JWTSecret != "", jwt},
		{"jwt-secret-old", l.JWTSecretOld != "", jwt},
		{"jwt-keys", len(l.JWTKeys) > 0, jwt},
		{"jwt-jwks", l.JWTJWKS != "", jwt},
		{"webhook-url", l.WebhookURL != "", webhook},
	} {
		if unread.set && !unread.read {
			method, _, _ := strings.Cut(unread.key, "-")
			fault(unread.key, "has no effect, since auth does not name "+method, "auth")
		}
	}
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
