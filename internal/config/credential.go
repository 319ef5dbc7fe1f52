package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// secret is a text of at least some length, or empty.
func secret(field *string, least int) value {
	want := fmt.Sprintf("%d to 4096 bytes without control characters", least)
	return checked(field, "text", want, asIs, func(text string) (string, bool) {
		return text, text == "" || len(text) >= least && isPlain(text, 4096)
	})
}

// words is any short text on one line, or empty.
func words(field *string) value {
	return checked(field, "text", "at most 256 bytes without control characters", asIs, func(text string) (string, bool) {
		return text, isPlain(text, 256)
	})
}

func isPlain(text string, most int) bool {
	return len(text) <= most && !strings.ContainsFunc(text, unicode.IsControl)
}

// webURL is where something is fetched from or sent to. User names and
// passwords in URLs end up in logs, so they are refused.
func webURL(field *string) value {
	want := "an http:// or https:// URL without user name, password and fragment"
	return checked(field, "url", want, asIs, func(text string) (string, bool) {
		if text == "" {
			return text, true
		}
		u, err := url.Parse(text)
		return text, err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
			u.User == nil && u.Fragment == "" && isPlain(text, 2048)
	})
}

func pathList(field *[]string) value {
	return list{field, "file,...", "a path of at most 4096 bytes", func(text string) bool {
		return text != "" && isPlain(text, 4096)
	}}
}

// listOf is a list of words out of a few.
func listOf(field *[]string, kind string, allowed ...string) value {
	return list{field, kind, "one of " + strings.Join(allowed, ", "), func(text string) bool {
		return slices.Contains(allowed, text)
	}}
}

// origin is that of RFC 6454, with a wildcard for the names below a domain. A
// domain of one label is no wildcard's: *.com would be half of the world.
var origin = regexp.MustCompile(`^(\*|null|[A-Za-z][A-Za-z0-9+.-]*://(\*\.[A-Za-z0-9-]+\.)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)$`)

func originList(field *[]string) value {
	want := "SCHEME://HOST[:PORT] as https://example.com, https://*.example.com for every name below it, null, or *"
	return list{field, "origin,...", want, origin.MatchString}
}
