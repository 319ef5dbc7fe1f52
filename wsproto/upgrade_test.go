package wsproto

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The key and its answer are those of RFC 6455 section 1.3.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// request is a good request with other headers appended.
func request(more ...string) string {
	return requestLine("GET /ws HTTP/1.1", more...)
}

func requestLine(line string, more ...string) string {
	return lines(append([]string{
		line,
		"Host: gateway.example:8080",
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Key: " + sampleKey,
		"Sec-WebSocket-Version: 13",
	}, more...)...)
}

// swap is the good request with one of its lines replaced, or taken out where
// there is no other.
func swap(old string, replacement ...string) string { return swapIn(request(), old, replacement...) }

func swapIn(head, old string, replacement ...string) string {
	all := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	at := slices.Index(all, old)
	if at < 0 {
		panic(fmt.Sprintf("no line %q", old))
	}
	return lines(slices.Replace(all, at, at+1, replacement...)...)
}

func lines(l ...string) string { return strings.Join(l, "\r\n") + "\r\n\r\n" }

// upgrade runs what an event loop runs: RequestEnd on what has arrived, byte
// by byte and then at once, and Parse on the head.
func upgrade(t *testing.T, u *Upgrader, stream string) (*Request, *Refusal, string) {
	t.Helper()
	end, refusal := 0, (*Refusal)(nil)
	for n := 0; n <= len(stream) && end == 0 && refusal == nil; n++ {
		end, refusal = u.RequestEnd([]byte(stream[:n]))
	}
	atOnce, refusalAtOnce := u.RequestEnd([]byte(stream))
	if atOnce != end || !reflect.DeepEqual(refusal, refusalAtOnce) {
		t.Fatalf("byte by byte: %d, %v; at once: %d, %v", end, refusal, atOnce, refusalAtOnce)
	}
	if refusal != nil {
		return nil, refusal, ""
	}
	if end == 0 {
		t.Fatalf("no end found in %q", stream)
	}
	r := &Request{}
	refusal = u.Parse([]byte(stream[:end]), r)
	return r, refusal, stream[end:]
}

func TestUpgradeAccepts(t *testing.T) {
	for _, c := range []struct {
		rule, stream string
		path, query  string
		host         string
		rest         string
	}{
		{rule: "RFC 6455 section 1.3", stream: request("Origin: http://example.com")},
		{rule: "bytes after the head are the caller's", stream: request() + "\x81\x80abcd", rest: "\x81\x80abcd"},
		{rule: "RFC 9112 section 2.2: one empty line before", stream: "\r\n" + request()},
		{rule: "RFC 9110 section 5.1: names in any case", stream: lines("GET /ws HTTP/1.1", "hOST: gateway.example:8080", "UPGRADE: WebSocket",
			"connection: keep-alive, UPGRADE", "sec-websocket-KEY: "+sampleKey, "SEC-websocket-version: 13")},
		{rule: "RFC 9110 section 5.6.3: white space around values", stream: lines("GET /ws HTTP/1.1", "Host:gateway.example:8080", "Upgrade:\twebsocket \t",
			"Connection:  Upgrade", "Sec-WebSocket-Key:"+sampleKey+" ", "Sec-WebSocket-Version: 13  ")},
		{rule: "RFC 9110 section 7.8: among other protocols", stream: swapIn(swap("Upgrade: websocket", "Upgrade: h2c, websocket"), "Connection: Upgrade", "Connection: keep-alive", "Connection: , upgrade")},
		{rule: "a query", stream: requestLine("GET /ws?id=a%20b&x HTTP/1.1"), query: "id=a%20b&x"},
		{rule: "a URI in the query", stream: requestLine("GET /ws?back=http://a/b?c HTTP/1.1"), query: "back=http://a/b?c"},
		{rule: "RFC 9112 section 3.2.2: absolute-form", stream: requestLine("GET http://other.example/ws?q HTTP/1.1"), query: "q", host: "other.example"},
		{rule: "absolute-form of a WebSocket URI", stream: requestLine("GET WSS://[::1]:443/ws HTTP/1.1"), host: "[::1]:443"},
		{rule: "RFC 9112 section 2.5: a higher minor version", stream: requestLine("GET /ws HTTP/1.2")},
		{rule: "an empty body", stream: request("Content-Length: 0")},
		{rule: "obs-text in a value", stream: request("X-Name: J\xf6rg")},
		{rule: "a header without a value", stream: request("X-Empty:", "X-Blank: ")},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if c.path == "" {
				c.path = "/ws"
			}
			if c.host == "" {
				c.host = "gateway.example:8080"
			}
			u := &Upgrader{}
			r, refusal, rest := upgrade(t, u, c.stream)
			if refusal != nil {
				t.Fatal(refusal)
			}
			if string(r.Path) != c.path || string(r.RawQuery) != c.query || string(r.Host) != c.host || rest != c.rest {
				t.Errorf("path %q, query %q, host %q, rest %q", r.Path, r.RawQuery, r.Host, rest)
			}
			response, agreed := u.Accept([]byte("before"), r)
			if agreed != (Handshake{}) {
				t.Errorf("agreed %+v, nothing was offered", agreed)
			}
			head, ok := bytes.CutPrefix(response, []byte("before"))
			if !ok {
				t.Fatalf("dst is lost: %q", response)
			}
			parsed, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
			if err != nil {
				t.Fatal(err)
			}
			want := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {sampleAccept}}
			if parsed.StatusCode != 101 || !reflect.DeepEqual(parsed.Header, want) {
				t.Errorf("%d %v", parsed.StatusCode, parsed.Header)
			}
		})
	}
}

func TestUpgradeAtTheLimits(t *testing.T) {
	exact := request("X: " + strings.Repeat("x", 8<<10-len(request("X: "))))
	if len(exact) != 8<<10 {
		t.Fatalf("%d bytes", len(exact))
	}
	if _, refusal, rest := upgrade(t, &Upgrader{}, exact+"more"); refusal != nil || rest != "more" {
		t.Errorf("8 KiB: %v, rest %q", refusal, rest)
	}
	headers := make([]string, 64-5)
	for i := range headers {
		headers[i] = fmt.Sprintf("X-%d: v", i)
	}
	if _, refusal, _ := upgrade(t, &Upgrader{}, request(headers...)); refusal != nil {
		t.Errorf("64 headers: %v", refusal)
	}
	u := &Upgrader{MaxRequestBytes: 300, MaxHeaders: 5}
	if _, refusal, _ := upgrade(t, u, request()); refusal != nil {
		t.Error(refusal)
	}
	if _, refusal, _ := upgrade(t, u, request("X: y")); refusal == nil || refusal.Status != 431 {
		t.Errorf("6 of 5 headers: %v", refusal)
	}
	if _, refusal, _ := upgrade(t, u, requestLine("GET /ws?"+strings.Repeat("x", 150)+" HTTP/1.1")); refusal == nil || refusal.Status != 431 {
		t.Errorf("300 bytes: %v", refusal)
	}
}

// Parse alone, without RequestEnd, has the same limits.
func TestParseChecksLimitsItself(t *testing.T) {
	var r Request
	for _, c := range []struct {
		head   string
		status int
	}{
		{request("X: " + strings.Repeat("x", 8<<10)), 431},
		{request(strings.Split(strings.Repeat("X: y,", 60), ",")[:60]...), 431},
		{request() + "\x81", 400},
		{strings.TrimSuffix(request(), "\r\n"), 400},
		{"", 400},
		{"\r\n", 400},
	} {
		if refusal := (&Upgrader{}).Parse([]byte(c.head), &r); refusal == nil || refusal.Status != c.status {
			t.Errorf("%.20q: %v, want %d", c.head, refusal, c.status)
		}
	}
}

func TestRequestAccess(t *testing.T) {
	r, refusal, _ := upgrade(t, &Upgrader{}, requestLine("GET /ws?id=J%C3%B6rg+B&tok%65n=a%2Bb%26c&empty=&flag&id=second&n=%00 HTTP/1.1",
		"Origin: https://app.example", "Authorization: Bearer x.y", "X-Forwarded-For: 10.0.0.1", "x-forwarded-for: 10.0.0.2", "X-Empty:",
		"Sec-WebSocket-Protocol: mqtt , bearer.abc", "Sec-WebSocket-Protocol:json"))
	if refusal != nil {
		t.Fatal(refusal)
	}
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"id", "J\u00f6rg B", true},
		{"token", "a+b&c", true},
		{"empty", "", true},
		{"flag", "", true},
		{"n", "\x00", true},
		{"i", "", false},
		{"", "", false},
		{"idx", "", false},
	} {
		if value, ok := r.Query(c.name); value != c.value || ok != c.ok {
			t.Errorf("Query(%q) = %q, %v", c.name, value, ok)
		}
	}
	if all := slices.Collect((&Request{RawQuery: []byte("a=1&b=2&%61=3&a")}).Queries("a")); !slices.Equal(all, []string{"1", "3", ""}) {
		t.Errorf("Queries: %q", all)
	}
	if string(r.Origin) != "https://app.example" || string(r.Authorization()) != "Bearer x.y" {
		t.Errorf("origin %q, authorization %q", r.Origin, r.Authorization())
	}
	if v := r.Header("x-empty"); v == nil || len(v) != 0 {
		t.Errorf("an empty header is %#v, want empty and not nil", v)
	}
	if r.Header("x-none") != nil {
		t.Error("a header that is not there is not nil")
	}
	collect := func(seq func(func([]byte) bool)) (all []string) {
		for v := range seq {
			all = append(all, string(v))
		}
		return all
	}
	if got := collect(r.HeaderLines("x-forwarded-for")); !slices.Equal(got, []string{"10.0.0.1", "10.0.0.2"}) {
		t.Errorf("header lines %q", got)
	}
	if got := collect(r.Offers()); !slices.Equal(got, []string{"mqtt", "bearer.abc", "json"}) {
		t.Errorf("offers %q", got)
	}
	for offer := range r.Offers() {
		if string(offer) != "mqtt" {
			t.Errorf("stopped at %q", offer)
		}
		break
	}
}

func TestRequestIsReused(t *testing.T) {
	u := &Upgrader{Subprotocols: []string{"mqtt"}, Deflate: true}
	first := []byte(requestLine("GET /ws?a HTTP/1.1", "Origin: x", "Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Extensions: permessage-deflate"))
	second := []byte(request())
	var r Request
	if refusal := u.Parse(first, &r); refusal != nil {
		t.Fatal(refusal)
	}
	if _, agreed := u.Accept(nil, &r); agreed != (Handshake{"mqtt", true}) || r.Subprotocol() != "mqtt" {
		t.Fatalf("agreed %+v", agreed)
	}
	if refusal := u.Parse(second, &r); refusal != nil {
		t.Fatal(refusal)
	}
	if _, agreed := u.Accept(nil, &r); agreed != (Handshake{}) || r.Origin != nil || len(r.RawQuery) != 0 {
		t.Errorf("the first request shows in the second: %+v, %q, %q", agreed, r.Origin, r.RawQuery)
	}
}

func TestUpgradeAllocatesNothing(t *testing.T) {
	u := &Upgrader{Subprotocols: []string{"mqtt"}, Deflate: true}
	head := []byte(request("Sec-WebSocket-Protocol: json, mqtt", "Sec-WebSocket-Extensions: permessage-deflate", "Origin: http://a"))
	var r Request
	var out []byte
	if n := testing.AllocsPerRun(100, func() {
		end, refusal := u.RequestEnd(head)
		if refusal == nil {
			refusal = u.Parse(head[:end], &r)
		}
		if refusal != nil {
			t.Fatal(refusal)
		}
		out, _ = u.Accept(out[:0], &r)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSubprotocolNegotiation(t *testing.T) {
	for _, c := range []struct {
		server []string
		offer  []string // header values
		want   string
	}{
		{nil, []string{"a"}, ""},
		{[]string{"a"}, nil, ""},
		{[]string{"a"}, []string{"b"}, ""},
		{[]string{"a", "b"}, []string{"b, a"}, "a"},
		{[]string{"a", "b"}, []string{"c", "b"}, "b"},
		{[]string{"a"}, []string{" , a,, "}, "a"},
		{[]string{"a"}, []string{"A"}, ""},
		{[]string{"a"}, []string{""}, ""},
		{[]string{"mqttv3.1"}, []string{"mqtt,mqttv3.1"}, "mqttv3.1"},
	} {
		var more []string
		for _, value := range c.offer {
			more = append(more, "Sec-WebSocket-Protocol: "+value)
		}
		u := &Upgrader{Subprotocols: c.server}
		r, refusal, _ := upgrade(t, u, request(more...))
		if refusal != nil {
			t.Errorf("%q to %q: %v", c.offer, c.server, refusal)
			continue
		}
		response, agreed := u.Accept(nil, r)
		if agreed.Subprotocol != c.want {
			t.Errorf("%q to %q: %q, want %q", c.offer, c.server, agreed.Subprotocol, c.want)
		}
		if got := bytes.Contains(response, []byte("Sec-WebSocket-Protocol: "+c.want+"\r\n")); got != (c.want != "") {
			t.Errorf("%q to %q: answered %q", c.offer, c.server, response)
		}
	}
}

func TestUpgraderValidate(t *testing.T) {
	if err := (&Upgrader{}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (&Upgrader{Path: "/a%20b/c", Subprotocols: []string{"a", "b"}, MaxRequestBytes: 256, MaxHeaders: 5}).Validate(); err != nil {
		t.Error(err)
	}
	bad := &Upgrader{Path: "ws", Subprotocols: []string{"a", "a", "b c"}, MaxRequestBytes: 255, MaxHeaders: -1}
	if err := bad.Validate(); err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("want five faults, got %v", err)
	}
}
