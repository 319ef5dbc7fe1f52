package auth

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
)

func offers(list ...string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, text := range list {
			if !yield([]byte(text)) {
				return
			}
		}
	}
}

// values are those of a query parameter, with spaces between them.
func values(query string, inQuery bool) iter.Seq[string] {
	if !inQuery {
		return slices.Values([]string{})
	}
	return slices.Values(strings.Split(query, " "))
}

func TestFindToken(t *testing.T) {
	for name, c := range map[string]struct {
		header  string // "-" for none
		offers  []string
		query   string // "-" for none
		token   string
		source  Source
		failure error
	}{
		"none":                    {"-", nil, "-", "", NoToken, nil},
		"header":                  {"Bearer a.b-c_d", nil, "-", "a.b-c_d", FromHeader, nil},
		"scheme in small letters": {"bearer  a==", nil, "-", "a==", FromHeader, nil},
		"subprotocol":             {"-", []string{"chat", "bearer.a.b.c"}, "-", "a.b.c", FromSubprotocol, nil},
		"query":                   {"-", nil, "a.b.c", "a.b.c", FromQuery, nil},
		"basic":                   {"Basic YTpi", nil, "-", "", NoToken, errNotBearer},
		"no space":                {"Bearer", nil, "-", "", NoToken, errNotBearer},
		"empty header":            {"", nil, "-", "", NoToken, errNotBearer},
		"no token":                {"Bearer ", nil, "-", "", NoToken, errBadToken},
		"token with a space":      {"Bearer a b", nil, "-", "", NoToken, errBadToken},
		"empty subprotocol":       {"-", []string{"bearer."}, "-", "", NoToken, errBadToken},
		"empty query":             {"-", nil, "", "", NoToken, errBadToken},
		"line break in the query": {"-", nil, "a\nb", "", NoToken, errBadToken},
		"header and query":        {"Bearer a", nil, "a", "", NoToken, errTwoTokens},
		"header and subprotocol":  {"Bearer a", []string{"bearer.a"}, "-", "", NoToken, errTwoTokens},
		"two in the query":        {"-", nil, "a b", "", NoToken, errTwoTokens},
		"the same twice":          {"-", nil, "a a", "", NoToken, errTwoTokens},
		"two subprotocols":        {"-", []string{"bearer.a", "bearer.b"}, "-", "", NoToken, errTwoTokens},
	} {
		var header []byte
		if c.header != "-" {
			header = []byte(c.header)
		}
		token, source, err := FindToken(header, offers(c.offers...), values(c.query, c.query != "-"))
		if token != c.token || source != c.source || !errors.Is(err, c.failure) {
			t.Errorf("%s: %q, %v, %v; want %q, %v, %v", name, token, source, err, c.token, c.source, c.failure)
		}
	}
}

// What FindToken promises for any input: a token is one that RFC 6750 allows
// and was there; with an error there is none; an error repeats no input.
func FuzzFindToken(f *testing.F) {
	f.Add("Bearer abc", "chat,bearer.x", "tok", true)
	f.Add("", "", "", false)
	f.Add("Basic x", "bearer.", "a=b", true)
	f.Fuzz(func(t *testing.T, header, protocols, query string, inQuery bool) {
		var authorization []byte
		if header != "" {
			authorization = []byte(header)
		}
		list := strings.Split(protocols, ",")
		token, source, err := FindToken(authorization, offers(list...), values(query, inQuery))
		if err != nil {
			if token != "" || source != NoToken {
				t.Fatalf("%q and %v with an error", token, source)
			}
			if !slices.Contains([]error{errTwoTokens, errNotBearer, errBadToken}, err) {
				t.Fatalf("an error that is not one of three: %v", err)
			}
			return
		}
		if (token == "") != (source == NoToken) {
			t.Fatalf("%q from %v", token, source)
		}
		if strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") != "" {
			t.Fatalf("token %q", token)
		}
		if !strings.Contains(header+" "+protocols+" "+query, token) {
			t.Fatalf("token %q was not there", token)
		}
	})
}

func TestOrigins(t *testing.T) {
	list, err := ParseOrigins([]string{"https://example.com", "https://*.shop.example:8443", "http://localhost:80", "https://Mixed.Example:443"})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]bool{
		"https://example.com":              true,
		"https://EXAMPLE.com":              true,
		"http://example.com":               false,
		"https://example.com:444":          false,
		"https://www.example.com":          false,
		"https://example.com.evil.org":     false,
		"https://evil-example.com":         false,
		"https://a.shop.example:8443":      true,
		"https://a.b.shop.example:8443":    true,
		"https://shop.example:8443":        false,
		"https://.shop.example:8443":       false,
		"https://a.shop.example":           false,
		"https://evilshop.example:8443":    false,
		"https://x/a.shop.example:8443":    false,
		"https://x@a.shop.example:8443":    false,
		"http://localhost":                 true,
		"https://mixed.example":            true,
		"null":                             false,
		"":                                 false,
		"file://":                          false,
		"https://a.shop.example:8443/path": false,
	} {
		if got := list.Allow([]byte(origin)); got != want {
			t.Errorf("%q: allowed %v, want %v", origin, got, want)
		}
	}
	for _, text := range []string{"example.com", "https://", "https://*", "https://*.com", "https://a*.example.com", "https://*.*.example.com", "https://u@example.com", "https://example.com/", "https://*.10.0.0.1", "https://a b", ""} {
		if _, err := ParseOrigins([]string{text}); err == nil {
			t.Errorf("%q is accepted as an element of the list", text)
		}
	}
	if all, _ := ParseOrigins([]string{"*"}); !all.Allow([]byte("null")) || all.Empty() {
		t.Error("* does not allow everything")
	}
	if none, _ := ParseOrigins(nil); none.Allow([]byte("https://example.com")) || !none.Empty() {
		t.Error("an empty list allows something")
	}
}
