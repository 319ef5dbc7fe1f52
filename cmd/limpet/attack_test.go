package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// What an attacker sends to the port for clients, and what it gets: one row
// for each attack, against a gateway as an operator runs it, in the order of
// the table. After each of them a client with a token is served as before.
func TestAttacks(t *testing.T) {
	const balancer = "127.0.0.9" // an address of this host that is trusted with PROXY headers
	t.Setenv("LIMPET_JWT_SECRET", jwtSecret)
	p := startProcess(t, 0, "--auth=jwt", "--uplink=echo", "--handshake-timeout=1s", "--message-timeout=1s", "--max-message-size=4KiB", "--rate-messages=200",
		"--origins=https://app.example.com", "--proxy-trusted="+balancer)
	token := func(claims jwt.MapClaims, method jwt.SigningMethod, key any) string {
		claims["exp"] = time.Now().Add(time.Hour).Unix()
		text, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good := token(jwt.MapClaims{"sub": "dev1"}, jwt.SigningMethodHS256, []byte(jwtSecret))
	upgrade := func(headers ...string) string {
		return "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
	}
	bearer := func(text string) string { return upgrade("Authorization: Bearer " + text) }
	type attack struct {
		name, send string
		want       int // status of the answer
	}
	const ended = 0 // the connection ends without an HTTP answer
	const proxyV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11"
	anywhere := []attack{
		{"no token", upgrade(), 401},
		{"alg none", bearer(token(jwt.MapClaims{"sub": "root"}, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType)), 401},
		{"another secret", bearer(token(jwt.MapClaims{"sub": "root"}, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)))), 401},
		{"another algorithm", bearer(token(jwt.MapClaims{"sub": "root"}, jwt.SigningMethodHS512, []byte(jwtSecret))), 401},
		{"forged log line in the name", bearer(token(jwt.MapClaims{"sub": "x\nlevel=ERROR"}, jwt.SigningMethodHS256, []byte(jwtSecret))), 401},
		{"100 KB token", bearer(strings.Repeat("x", 100<<10)), 431},
		{"two Authorization headers", upgrade("Authorization: Bearer "+good, "Authorization: Bearer "+good), 400},
		{"token in two places", upgrade("Authorization: Bearer "+good, "Sec-WebSocket-Protocol: bearer."+good), 400},
		{"two tokens in the query", strings.Replace(upgrade(), "/ws", "/ws?access_token="+good+"&%61ccess_token="+good, 1), 400},
		{"page of a foreign origin", upgrade("Authorization: Bearer "+good, "Origin: https://evil.example"), 403},
		{"origin that ends alike", upgrade("Authorization: Bearer "+good, "Origin: https://evilapp.example.com.evil.example"), 403},
		{"token in the query, from a foreign page", strings.Replace(upgrade("Origin: https://evil.example"), "/ws", "/ws?access_token="+good, 1), 403},
		{"line break in the query", strings.Replace(bearer(good), "/ws", "/ws?id=x%0d%0alevel=ERROR&access_token=%0a", 1), 400},
		{"no Host", strings.Replace(bearer(good), "Host: x\r\n", "", 1), 400},
		{"folded header", upgrade("Authorization: Bearer", " "+good), 400},
		{"NUL in a header", upgrade("X-Nul: \x00", "Authorization: Bearer "+good), 400},
		{"100 headers", upgrade(append(slices.Repeat([]string{"X-Pad: x"}, 100), "Authorization: Bearer "+good)...), 431},
		{"another method", strings.Replace(bearer(good), "GET", "POST", 1), 405},
		{"another version of the protocol", strings.Replace(bearer(good), "Version: 13", "Version: 8", 1), 426},
		{"smuggled body", upgrade("Authorization: Bearer "+good, "Content-Length: 5") + "hello", 400},
		{"request without an end", "GET /ws HTTP/1.1\r\nHost: x\r\n", ended},
		{"nothing at all", "", ended},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00", 400},
		{"PROXY header that nobody asked for", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + bearer(good), 400},
		{"the same, version 2", proxyV2 + "\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x01\x00\x02" + bearer(good), 400},
	}
	behindBalancer := []attack{
		{"no PROXY header", bearer(good), 400},
		{"malformed PROXY header", "PROXY TCP4 10.0.0.1 10.0.0.2 1 99999\r\n" + bearer(good), 400},
		{"PROXY header of the client's own behind it", strings.Repeat("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", 2) + bearer(good), 400},
		{"PROXY header of 64 KiB", proxyV2 + "\xff\xff" + strings.Repeat("x", 64<<10), 400},
		{"PROXY header without an end", "PROXY TCP4 10.0.0.1", ended},
		{"nothing behind the PROXY header", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", ended},
	}
	for _, attacks := range []struct {
		source string
		rows   []attack
	}{{"127.0.0.1", anywhere}, {balancer, behindBalancer}} {
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacks.source)}}
		for _, attack := range attacks.rows {
			t.Run(attack.name, func(t *testing.T) {
				c, err := from.Dial("tcp", p.Listen)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(c, attack.send) // a refusal may come before the end of it
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				switch {
				case err != nil && attack.want != ended:
					t.Errorf("no answer (%v), want %d", err, attack.want)
				case err == nil && resp.StatusCode != attack.want:
					t.Errorf("answer %s, want %d", resp.Status, attack.want)
				}
			})
		}
	}
	open := func() *websocket.Conn {
		c, resp, err := (&websocket.Dialer{EnableCompression: true, HandshakeTimeout: patience}).Dial("ws://"+p.Listen+"/ws", http.Header{"Authorization": {"Bearer " + good}})
		if err != nil {
			t.Fatalf("a client with a token: %v, %v", err, resp)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		return c
	}
	for _, attack := range []struct {
		name string
		do   func(c *websocket.Conn)
		want int // close code
	}{
		{"unmasked frame", func(c *websocket.Conn) { _, _ = c.UnderlyingConn().Write([]byte{0x81, 1, 'x'}) }, 1002},
		{"reserved bits", func(c *websocket.Conn) { _, _ = c.UnderlyingConn().Write([]byte{0xb1, 0x80, 0, 0, 0, 0}) }, 1002},
		{"length longer than it need be", func(c *websocket.Conn) { _, _ = c.UnderlyingConn().Write([]byte{0x82, 0xfe, 0, 1, 0, 0, 0, 0, 'x'}) }, 1002},
		{"control frame of 126 bytes", func(c *websocket.Conn) {
			_, _ = c.UnderlyingConn().Write(append([]byte{0x89, 0xfe, 0, 126, 0, 0, 0, 0}, make([]byte, 126)...))
		}, 1002},
		{"control frame in parts", func(c *websocket.Conn) { _, _ = c.UnderlyingConn().Write([]byte{0x09, 0x80, 0, 0, 0, 0}) }, 1002},
		{"continuation of nothing", func(c *websocket.Conn) { _, _ = c.UnderlyingConn().Write([]byte{0x80, 0x80, 0, 0, 0, 0}) }, 1002},
		{"reserved close code", func(c *websocket.Conn) { _, _ = c.UnderlyingConn().Write([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed}) }, 1002},
		{"message that inflates a thousandfold", func(c *websocket.Conn) {
			c.EnableWriteCompression(true)
			_ = c.WriteMessage(websocket.TextMessage, make([]byte, 1<<20))
		}, 1009},
		{"fragments without end", func(c *websocket.Conn) {
			_, _ = c.UnderlyingConn().Write([]byte{0x02, 0x80, 0, 0, 0, 0})
			_, _ = c.UnderlyingConn().Write(slices.Repeat([]byte{0x00, 0x80, 0, 0, 0, 0}, 2000))
		}, 1009},
		{"text that is not UTF-8", func(c *websocket.Conn) { _ = c.WriteMessage(websocket.TextMessage, []byte{0xff}) }, 1007},
		{"large message", func(c *websocket.Conn) { _ = c.WriteMessage(websocket.BinaryMessage, make([]byte, 5<<10)) }, 1009},
		{"announces an exabyte", func(c *websocket.Conn) {
			_, _ = c.UnderlyingConn().Write([]byte{0x82, 0xff, 0x0f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		}, 1009},
		{"message without an end", func(c *websocket.Conn) { _, _ = c.UnderlyingConn().Write([]byte{0x82, 0x8a, 0, 0, 0, 0, 'x'}) }, 1008},
		{"flood of messages", func(c *websocket.Conn) {
			for range 2000 {
				_ = c.WriteMessage(websocket.TextMessage, []byte("x"))
			}
		}, 1008},
		{"flood of pings", func(c *websocket.Conn) {
			for range 500 {
				_ = c.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience))
			}
		}, 1008},
	} {
		t.Run(attack.name, func(t *testing.T) {
			c := open()
			defer c.Close()
			attack.do(c)
			var err error
			for err == nil {
				_, _, err = c.ReadMessage()
			}
			if !websocket.IsCloseError(err, attack.want) {
				t.Errorf("ended with %v, want %d", err, attack.want)
			}
		})
	}
	c := open()
	defer c.Close()
	if err := echo(c, "served as before"); err != nil {
		t.Error(err)
	}
}

// A flood from one address is refused at the door; sessions that are there do
// not notice, and the address is served again when the flood is over.
func TestFloodFromOneAddress(t *testing.T) {
	p := startProcess(t, 0, "--uplink=echo", "--conns-per-ip=20", "--rate-per-ip=50", "--burst-per-ip=30")
	inside := p.mustDial("inside")
	refused := 0
	for i := range 200 {
		c, resp, err := p.dial(fmt.Sprint("flood", i))
		switch {
		case err == nil:
			c.Close()
		case resp == nil: // refused beyond those who may read why
			refused++
		case resp.StatusCode == 429 && resp.Header.Get("Retry-After") != "":
			refused++
		default:
			t.Fatalf("connection %d: %v, Retry-After %q", i, resp.Status, resp.Header.Get("Retry-After"))
		}
	}
	if refused < 100 {
		t.Errorf("%d of 200 were refused at 50 a second", refused)
	}
	if err := echo(inside, "not disturbed"); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		c, _, err := p.dial("after")
		if err == nil {
			if err := echo(c, "served again"); err != nil {
				t.Error(err)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not served when the flood is over: %v", err)
		}
	}
}
