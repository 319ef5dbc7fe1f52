package wsproto

import (
	"fmt"
	"strings"
	"testing"
)

// Every way to be refused, each with the rule it breaks and a word of the
// reason, so that no request is refused by accident of another rule.
func TestUpgradeRefuses(t *testing.T) {
	manyHeaders := func(n int) []string {
		h := make([]string, n)
		for i := range h {
			h[i] = fmt.Sprintf("X-%d: v", i)
		}
		return h
	}
	for _, c := range []struct {
		rule   string
		stream string
		status int
		says   string // part of the reason: it has to be this rule
	}{
		// RFC 9112: the message.
		{"9112 2.2 bare LF", "GET /ws HTTP/1.1\nHost: h\n\n", 400, "CRLF"},
		{"9112 2.2 bare LF after a good line", "GET /ws HTTP/1.1\r\nHost: h\nUpgrade: websocket\r\n\r\n", 400, "CRLF"},
		{"9112 2.2 bare CR in a value", request("X: a\rb"), 400, "control character"},
		{"9112 2.2 bare CR in the request line", requestLine("GET /ws\r HTTP/1.1"), 400, "target"},
		{"9112 2.2 bare CR before the line end", request("X: a\r"), 400, "control character"},
		{"9112 2.2 two empty lines before", "\r\n\r\n" + request(), 400, "request line"},
		{"9112 2.2 white space before the first header", lines("GET /ws HTTP/1.1", " Host: h"), 400, "folding"},
		{"9112 3 empty", "\r\n\r\n", 400, "request line"},
		{"9112 3 no version", requestLine("GET /ws"), 400, "request line"},
		{"9112 3 two spaces", requestLine("GET  /ws HTTP/1.1"), 400, "request line"},
		{"9112 3 trailing space", requestLine("GET /ws HTTP/1.1 "), 400, "request line"},
		{"9112 3 tab", requestLine("GET\t/ws\tHTTP/1.1"), 400, "request line"},
		{"9112 3.1 method is not a token", requestLine("G(T /ws HTTP/1.1"), 400, "request line"},
		{"9112 3.1 no method", requestLine(" /ws HTTP/1.1"), 400, "not an HTTP"},
		{"not HTTP at all", "\x00\x01\x02", 400, "not an HTTP"},
		{"TLS", "\x16\x03\x01\x02\x00\x01", 400, "TLS"},
		{"a PROXY protocol v2 signature", "\r\n\r\n\x00\r\nQUIT\n", 400, "request line"},
		{"9112 2.3 version in small letters", requestLine("GET /ws http/1.1"), 400, "request line"},
		{"9112 2.3 version 1,1", requestLine("GET /ws HTTP/1,1"), 400, "request line"},
		{"9112 2.3 version 11", requestLine("GET /ws HTTP/11"), 400, "request line"},
		{"9112 2.3 version 1.x", requestLine("GET /ws HTTP/1.x"), 400, "request line"},
		{"9112 2.3 version 1.10", requestLine("GET /ws HTTP/1.10"), 400, "request line"},
		{"9110 15.6.6 version 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1"},
		{"9110 15.6.6 version 0.9", requestLine("GET /ws HTTP/0.9"), 505, "HTTP/1.1"},
		{"9110 7.8 version 1.0 cannot upgrade", requestLine("GET /ws HTTP/1.0"), 426, "nginx"},
		{"9110 7.8 version 1.0 without Host", swapIn(requestLine("GET /ws HTTP/1.0"), "Host: gateway.example:8080"), 426, "nginx"},

		// RFC 9112 section 3.2 and RFC 3986: the target.
		{"3.2.1 no path", requestLine("GET ws HTTP/1.1"), 400, "target"},
		{"3.2.3 authority-form", requestLine("GET example.com:80 HTTP/1.1"), 400, "target"},
		{"3.2.4 asterisk-form", requestLine("GET * HTTP/1.1"), 400, "target"},
		{"3986 3.5 fragment", requestLine("GET /ws#x HTTP/1.1"), 400, "target"},
		{"3986 2.1 bad escape", requestLine("GET /ws?id=%zz HTTP/1.1"), 400, "target"},
		{"3986 2.1 cut escape", requestLine("GET /ws?id=%4 HTTP/1.1"), 400, "target"},
		{"3986 2.1 bad escape in the path", requestLine("GET /ws% HTTP/1.1"), 400, "target"},
		{"3986 3.4 octet that has to be escaped", requestLine("GET /ws?id={} HTTP/1.1"), 400, "target"},
		{"3986 3.4 not ASCII", requestLine("GET /ws?id=\xc3\xa4 HTTP/1.1"), 400, "target"},
		{"NUL in the target", requestLine("GET /ws?\x00 HTTP/1.1"), 400, "target"},
		{"absolute-form, another scheme", requestLine("GET ftp://h/ws HTTP/1.1"), 400, "target"},
		{"9110 4.2.1 absolute-form without a host", requestLine("GET http:///ws HTTP/1.1"), 400, "target"},
		{"9110 4.2.4 absolute-form with user information", requestLine("GET http://u:p@h/ws HTTP/1.1"), 400, "target"},
		{"absolute-form, no path", requestLine("GET http://h HTTP/1.1"), 404, "/ws"},
		{"absolute-form, no path but a query", requestLine("GET http://h?id=x HTTP/1.1"), 404, "/ws"},
		{"another path", requestLine("GET /wss HTTP/1.1"), 404, "/ws"},
		{"a longer path", requestLine("GET /ws/ HTTP/1.1"), 404, "/ws"},
		{"the root", requestLine("GET / HTTP/1.1"), 404, "/ws"},

		// RFC 9112 section 5: the headers.
		{"9112 5.1 space before the colon", request("Content-Length : 3"), 400, "colon"},
		{"9112 5.1 tab before the colon", request("X\t: 3"), 400, "colon"},
		{"9112 5.1 no name", request(": 3"), 400, "colon"},
		{"9112 5 no colon", request("Nonsense"), 400, "colon"},
		{"9110 5.1 name is not a token", request("X(Y): 3"), 400, "colon"},
		{"9110 5.1 name is not ASCII", request("\xc3\xa4: 3"), 400, "colon"},
		{"9110 5.5 NUL", request("X: a\x00b"), 400, "control character"},
		{"9110 5.5 another control character", request("X: a\x07b"), 400, "control character"},
		{"9110 5.5 DEL", request("X: a\x7fb"), 400, "control character"},
		{"9112 5.2 line folding with a space", request("X: a", " b"), 400, "folding"},
		{"9112 5.2 line folding with a tab", request("X: a", "\tUpgrade: websocket"), 400, "folding"},

		// RFC 9112 sections 3.2 and 6: what lets two parsers disagree.
		{"9112 3.2 no Host", swap("Host: gateway.example:8080"), 400, "Host"},
		{"9112 3.2 two Hosts", request("Host: gateway.example:8080"), 400, "two Host"},
		{"9112 3.2 an empty Host", swap("Host: gateway.example:8080", "Host:"), 400, "Host"},
		{"9112 3.2 a Host with a space", swap("Host: gateway.example:8080", "Host: a b"), 400, "Host"},
		{"9112 3.2 a Host with a path", swap("Host: gateway.example:8080", "Host: a/b"), 400, "Host"},
		{"9112 3.2 a Host with user information", swap("Host: gateway.example:8080", "Host: a@b"), 400, "Host"},
		{"9112 3.2 a Host with a bad port", swap("Host: gateway.example:8080", "Host: a:8x"), 400, "Host"},
		{"9112 3.2 a Host with a long port", swap("Host: gateway.example:8080", "Host: a:123456"), 400, "Host"},
		{"9112 3.2 a Host of two colons", swap("Host: gateway.example:8080", "Host: ::1"), 400, "Host"},
		{"9112 3.2 a Host with an open bracket", swap("Host: gateway.example:8080", "Host: [::1"), 400, "Host"},
		{"9112 3.2 a Host with something in brackets", swap("Host: gateway.example:8080", "Host: [x]"), 400, "Host"},
		{"9112 3.2 a Host with something after brackets", swap("Host: gateway.example:8080", "Host: [::1]x"), 400, "Host"},
		{"9112 3.2.2 absolute-form does not replace Host", swapIn(requestLine("GET http://h/ws HTTP/1.1"), "Host: gateway.example:8080"), 400, "Host"},
		{"9112 6.3 Content-Length", request("Content-Length: 5") + "hello", 400, "Content-Length"},
		{"9112 6.3 two equal Content-Lengths", request("Content-Length: 0", "Content-Length: 0"), 400, "two Content-Length"},
		{"9112 6.3 two Content-Lengths", request("Content-Length: 0", "content-length: 5"), 400, "two Content-Length"},
		{"9112 6.3 a list of Content-Lengths", request("Content-Length: 0, 0"), 400, "Content-Length"},
		{"9112 6.3 a signed Content-Length", request("Content-Length: +0"), 400, "Content-Length"},
		{"9112 6.3 Content-Length 00", request("Content-Length: 00"), 400, "Content-Length"},
		{"9112 6.3 an empty Content-Length", request("Content-Length:"), 400, "Content-Length"},
		{"9112 6.1 Transfer-Encoding", request("Transfer-Encoding: chunked"), 400, "Transfer-Encoding"},
		{"9112 6.1 Transfer-Encoding in disguise", request("TRANSFER-encoding:\tidentity"), 400, "Transfer-Encoding"},
		{"9112 6.1 an empty Transfer-Encoding", request("Transfer-Encoding:"), 400, "Transfer-Encoding"},
		{"9112 6.1 both", request("Content-Length: 0", "Transfer-Encoding: chunked"), 400, "Transfer-Encoding"},
		{"9110 11.6.2 two Authorizations", request("Authorization: Bearer a", "Authorization: Bearer b"), 400, "two Auth"},
		{"6454 7.3 two Origins", request("Origin: http://a", "Origin: http://b"), 400, "two Origin"},

		// RFC 9110 section 15.5.6: the method.
		{"POST", requestLine("POST /ws HTTP/1.1"), 405, "GET"},
		{"HEAD", requestLine("HEAD /ws HTTP/1.1"), 405, "GET"},
		{"CONNECT to a path", requestLine("CONNECT /ws HTTP/1.1"), 405, "GET"},
		{"methods have a case", requestLine("get /ws HTTP/1.1"), 405, "GET"},
		{"path before method", requestLine("POST /other HTTP/1.1"), 404, "/ws"},

		// RFC 6455 section 4.2.1.
		{"4.2.1 item 3 no Upgrade", swap("Upgrade: websocket"), 426, "Upgrade: websocket"},
		{"4.2.1 item 3 another protocol", swap("Upgrade: websocket", "Upgrade: h2c"), 426, "Upgrade: websocket"},
		{"4.2.1 item 3 almost", swap("Upgrade: websocket", "Upgrade: websockets"), 426, "Upgrade: websocket"},
		{"4.2.1 item 4 no Connection", swap("Connection: Upgrade"), 400, "Connection: Upgrade"},
		{"4.2.1 item 4 another option", swap("Connection: Upgrade", "Connection: keep-alive"), 400, "Connection: Upgrade"},
		{"4.2.1 item 5 no key", swap("Sec-WebSocket-Key: " + sampleKey), 400, "Sec-WebSocket-Key"},
		{"4.2.1 item 5 an empty key", swap("Sec-WebSocket-Key: "+sampleKey, "Sec-WebSocket-Key:"), 400, "Sec-WebSocket-Key"},
		{"4.2.1 item 5 a short key", swap("Sec-WebSocket-Key: "+sampleKey, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"), 400, "Sec-WebSocket-Key"},
		{"4.2.1 item 5 a key of 17 bytes", swap("Sec-WebSocket-Key: "+sampleKey, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE="), 400, "Sec-WebSocket-Key"},
		{"4.2.1 item 5 a key of 18 bytes", swap("Sec-WebSocket-Key: "+sampleKey, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEy"), 400, "Sec-WebSocket-Key"},
		{"4.2.1 item 5 a key of 600 bytes", swap("Sec-WebSocket-Key: "+sampleKey, "Sec-WebSocket-Key: "+strings.Repeat("dGhl", 200)), 400, "Sec-WebSocket-Key"},
		{"4.2.1 item 5 not base64", swap("Sec-WebSocket-Key: "+sampleKey, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!!=="), 400, "Sec-WebSocket-Key"},
		{"4.2.1 item 5 base64 of URLs", swap("Sec-WebSocket-Key: "+sampleKey, "Sec-WebSocket-Key: --__IHNhbXBsZSBub25jZQ=="), 400, "Sec-WebSocket-Key"},
		{"11.3.1 two keys", request("Sec-WebSocket-Key: " + sampleKey), 400, "two Sec-WebSocket-Key"},
		{"4.2.1 item 6 no version", swap("Sec-WebSocket-Version: 13"), 400, "Version: 13"},
		{"4.4 version 8", swap("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), 426, "Version: 13"},
		{"4.4 version 013", swap("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 013"), 426, "Version: 13"},
		{"11.3.5 a list of versions", swap("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13, 8"), 426, "Version: 13"},
		{"11.3.5 two versions", request("Sec-WebSocket-Version: 13"), 400, "two Sec-WebSocket-Version"},
		{"4.1 item 10 a subprotocol that is not a token", request("Sec-WebSocket-Protocol: a b"), 400, "Protocol is malformed"},
		{"4.1 item 10 a subprotocol in quotes", request(`Sec-WebSocket-Protocol: "a"`), 400, "Protocol is malformed"},
		{"4.1 item 10 a subprotocol twice", request("Sec-WebSocket-Protocol: a, b, a"), 400, "twice"},
		{"4.1 item 10 a subprotocol twice in two lines", request("Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a"), 400, "twice"},
		{"too many subprotocols", request("Sec-WebSocket-Protocol: " + strings.ReplaceAll(strings.Join(manyHeaders(maxOffers+1), ","), ": v", "")), 400, "too many subprotocols"},
		{"9.1 extensions without a name", request("Sec-WebSocket-Extensions: ;x"), 400, "Extensions"},
		{"9.1 an extension with a space", request("Sec-WebSocket-Extensions: a b"), 400, "Extensions"},
		{"9.1 an extension that ends in a semicolon", request("Sec-WebSocket-Extensions: a;"), 400, "Extensions"},
		{"9.1 a parameter without its value", request("Sec-WebSocket-Extensions: a; b="), 400, "Extensions"},
		{"9.1 a value that is not a token", request(`Sec-WebSocket-Extensions: a; b="c d"`), 400, "Extensions"},
		{"9.1 an open quote", request(`Sec-WebSocket-Extensions: a; b="c`), 400, "Extensions"},

		// Limits.
		{"8 KiB and one byte", request("X: " + strings.Repeat("x", 8<<10-len(request("X: "))+1)), 431, "too large"},
		{"9 KiB, unfinished", strings.TrimSuffix(request("X: "+strings.Repeat("x", 9<<10)), "\r\n\r\n"), 431, "too large"},
		{"65 headers", request(manyHeaders(60)...), 431, "too many headers"},
		{"65 headers, unfinished", strings.TrimSuffix(request(manyHeaders(60)...), "\r\n"), 431, "too many headers"},
		{"9112 3 a request line above 8 KiB", "GET /ws?" + strings.Repeat("x", 8<<10), 414, "request line is too long"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, refusal, _ := upgrade(t, &Upgrader{}, c.stream)
			if refusal == nil {
				t.Fatalf("accepted, want %d", c.status)
			}
			if refusal.Status != c.status {
				t.Fatalf("%v, want %d", refusal, c.status)
			}
			if !strings.Contains(refusal.Reason, c.says) {
				t.Fatalf("%v, want a word of %q", refusal, c.says)
			}
		})
	}
}
