package auth

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// Origins is an allow-list of the web origins (RFC 6454) whose pages may open
// sessions. The zero value allows none. It is not changed after it was made
// and safe from any goroutine.
type Origins struct {
	all   bool
	exact map[string]bool
	below []string // "https://" + ".example.com:8443": any name below that domain
}

// ErrOrigin says what an element of the list looks like.
var ErrOrigin = errors.New("want SCHEME://HOST[:PORT] as https://example.com, https://*.example.com for every name below it, null, or *")

// ParseOrigins reads the elements of an allow-list.
func ParseOrigins(list []string) (*Origins, error) {
	o := &Origins{exact: map[string]bool{}}
	for _, text := range list {
		switch text {
		case "*":
			o.all = true
			continue
		case "null": // what a sandboxed frame or a file sends
			o.exact[text] = true
			continue
		}
		scheme, host, ok := strings.Cut(text, "://")
		rest, wild := strings.CutPrefix(host, "*.")
		u, err := url.Parse(scheme + "://" + rest)
		if !ok || err != nil || scheme == "" || u.Host != rest || u.Hostname() == "" || u.User != nil || strings.ContainsAny(rest, "*/?#@ ") {
			return nil, ErrOrigin
		}
		if wild && (net.ParseIP(u.Hostname()) != nil || !strings.Contains(u.Hostname(), ".")) {
			return nil, ErrOrigin // *.com would be half of the world
		}
		switch key := strings.ToLower(scheme+"://") + dropDefaultPort(scheme, strings.ToLower(rest)); {
		case wild:
			o.below = append(o.below, strings.Replace(key, "://", "://.", 1))
		default:
			o.exact[key] = true
		}
	}
	return o, nil
}

// Browsers leave the default port out (RFC 6454 section 6.2).
func dropDefaultPort(scheme, host string) string {
	switch strings.ToLower(scheme) {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// Empty reports whether the list names nobody.
func (o *Origins) Empty() bool { return !o.all && len(o.exact) == 0 && len(o.below) == 0 }

// Allow reports whether a page of origin, the value of the header, may open a
// session.
func (o *Origins) Allow(origin []byte) bool {
	if o.all {
		return true
	}
	text := strings.ToLower(string(origin))
	if o.exact[text] {
		return true
	}
	scheme, host, ok := strings.Cut(text, "://")
	if !ok || strings.ContainsAny(host, "/@") {
		return false
	}
	for _, pattern := range o.below {
		patternScheme, domain, _ := strings.Cut(pattern, "://")
		// At least one character before the dot: the domain itself is not below itself.
		if scheme == patternScheme && len(host) > len(domain) && strings.HasSuffix(host, domain) {
			return true
		}
	}
	return false
}
