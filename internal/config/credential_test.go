package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goodSecret = "0123456789abcdef0123456789abcdef"

func TestAuthFaults(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"unknown method": {[]string{"--auth", "basic"}, []string{`auth = "basic" (flag --auth): element "basic": want one of none, jwt, webhook`}},
		"no method":      {[]string{"--auth="}, []string{`auth = "" (flag --auth): want at least one of none, jwt, webhook`}},
		"none and more": {[]string{"--auth", "jwt,none", "--jwt-secret", goodSecret}, []string{
			`auth = "jwt,none" (flag --auth): none believes everybody, so it cannot be one of several`}},
		"no keys":      {[]string{"--auth", "jwt"}, []string{`auth = "jwt" (flag --auth): jwt needs one of jwt-secret, jwt-keys and jwt-jwks`}},
		"no URL":       {[]string{"--auth", "webhook"}, []string{`auth = "webhook" (flag --auth): webhook needs webhook-url`}},
		"slow webhook": {[]string{"--auth", "webhook", "--webhook-url", "http://a/", "--webhook-timeout", "5s"}, []string{`webhook-timeout = "5s" (flag --webhook-timeout): want less than auth-timeout, 5s`}},
		"not read":     {[]string{"--jwt-secret", goodSecret}, []string{`jwt-secret = "(hidden)" (flag --jwt-secret): has no effect, since auth does not name jwt`}},
		"short secret": {[]string{"--auth", "jwt", "--jwt-secret", "s3cr3t"}, []string{`jwt-secret = "(hidden)" (flag --jwt-secret): want 32 to 4096 bytes without control characters`}},
		"password in URL": {[]string{"--auth", "webhook", "--webhook-url", "https://me:s3cr3t@a.example/"}, []string{
			`webhook-url = "https://(hidden)@a.example/" (flag --webhook-url): want an http:// or https:// URL without user name, password and fragment`}},
		"not a web URL": {[]string{"--auth", "jwt", "--jwt-jwks", "file:///etc/passwd"}, []string{
			`jwt-jwks = "file:///etc/passwd" (flag --jwt-jwks): want an http:// or https:// URL without user name, password and fragment`}},
		"origins": {[]string{"--origins", "https://*.com"}, []string{
			`origins = "https://*.com" (flag --origins): element "https://*.com": want SCHEME://HOST[:PORT] as https://example.com, https://*.example.com for every name below it, null, or *`}},
	} {
		if diff := cmp.Diff(c.want, faultsOf(t, c.args, nil, "")); diff != "" {
			t.Errorf("%s: faults (-want +got):\n%s", name, diff)
		}
	}
}

// With authentication other hosts are let in; the API needs its own token.
func TestAuthenticatedAddresses(t *testing.T) {
	jwt := []string{"--auth", "jwt", "--jwt-secret", goodSecret, "--listen", ":8080"}
	if loaded := mustLoad(t, jwt, nil, ""); !loaded.Authenticates() {
		t.Error("jwt does not count as authentication")
	}
	if faults := faultsOf(t, append(jwt, "--api", ":8081"), nil, ""); len(faults) != 1 || !strings.HasPrefix(faults[0], "api") {
		t.Errorf("an API without a token on every address: %q", faults)
	}
	mustLoad(t, append(jwt, "--api", ":8081", "--api-token", goodSecret), nil, "")
	mustLoad(t, nil, nil, "auth: [jwt, webhook]\njwt-keys: [a.pem, b.pem]\nwebhook-url: http://127.0.0.1:9/\norigins: ['https://a.example', 'https://*.b.example:8443', 'null', 'http://[::1]:3000']\n")
}
