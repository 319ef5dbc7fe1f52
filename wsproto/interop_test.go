package wsproto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
)

// echoServer is the least that can stand around this package: one connection,
// read in pieces of random size, every message answered with itself.
type echoServer struct {
	conn     net.Conn
	upgrader *Upgrader
	deflater *Deflater
	agreed   Handshake
	out      []byte
	received struct{ compressed, plain int } // frames sent back
}

var errPeerClosed = errors.New("the peer closed")

func (s *echoServer) Message(op ws.OpCode, payload []byte) error {
	start := len(s.out)
	if s.agreed.Deflate {
		s.out = s.deflater.AppendFrame(s.out, op, payload)
	} else {
		s.out = AppendFrame(s.out, op, false, payload)
	}
	if s.out[start]&rsv1Bit != 0 {
		s.received.compressed++
	} else {
		s.received.plain++
	}
	return nil
}

func (s *echoServer) Control(op ws.OpCode, payload []byte) error {
	switch op {
	case ws.OpPing:
		s.out = AppendFrame(s.out, ws.OpPong, false, payload)
	case ws.OpClose:
		code, _, err := ParseClose(payload)
		if err != nil {
			return err
		}
		s.out = AppendClose(s.out, code, "")
		return errPeerClosed
	}
	return nil
}

func (s *echoServer) serve() error {
	random := rand.New(rand.NewPCG(1, 2))
	decoder := NewDecoder(DecoderConfig{})
	var request Request
	var partial *Partial
	var head []byte
	upgraded := false
	buf := make([]byte, 64<<10)
	for {
		n, err := s.conn.Read(buf[:1+random.IntN(1+random.IntN(len(buf)))])
		if err != nil {
			return err
		}
		data := buf[:n]
		if !upgraded {
			head = append(head, data...)
			end, refusal := s.upgrader.RequestEnd(head)
			if refusal == nil && end == 0 {
				continue
			}
			if refusal == nil {
				refusal = s.upgrader.Parse(head[:end], &request)
			}
			if refusal != nil {
				_, err := s.conn.Write(refusal.AppendResponse(nil))
				return errors.Join(refusal, err)
			}
			s.out, s.agreed = s.upgrader.Accept(s.out, &request)
			data, upgraded = head[end:], true
		}
		partial, err = decoder.Feed(partial, s.agreed.Deflate, data, s)
		var refused *ProtocolError
		if errors.As(err, &refused) {
			s.out = AppendClose(s.out, refused.Code, refused.Reason)
		}
		if _, err := s.conn.Write(s.out); err != nil {
			return err
		}
		s.out = s.out[:0]
		if err != nil {
			return err
		}
	}
}

// listen serves one connection on loopback; stop waits for its end.
func listen(t *testing.T, u *Upgrader) (addr string, stop func() (*echoServer, error)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &echoServer{upgrader: u, deflater: NewDeflater(DeflaterConfig{})}
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			if err = conn.SetDeadline(time.Now().Add(30 * time.Second)); err == nil {
				s.conn = conn
				err = s.serve()
			}
		}
		done <- err
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), func() (*echoServer, error) { l.Close(); return s, <-done }
}

// messages are of many sizes, compressible and not.
func messages() (all []string) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 125, 126, 127, 300, 1000, 4096, 20_000, 65_000, 65_536} {
		noise := make([]byte, n)
		for i := range noise {
			noise[i] = ' ' + byte(random.IntN(95))
		}
		all = append(all, string(sampleJSON(n)), string(noise), strings.Repeat("\u00fc", n/2))
	}
	return all
}

func TestInteropGorilla(t *testing.T) {
	for _, compress := range []bool{false, true} {
		t.Run(fmt.Sprintf("compress=%v", compress), func(t *testing.T) {
			addr, stop := listen(t, &Upgrader{Deflate: true, Subprotocols: []string{"json"}})
			// A small write buffer makes fragments of large messages.
			dialer := gorilla.Dialer{EnableCompression: compress, WriteBufferSize: 1000, Subprotocols: []string{"xml", "json"}, HandshakeTimeout: 10 * time.Second}
			c, response, err := dialer.Dial("ws://"+addr+"/ws?id=x", http.Header{"Origin": {"http://a"}})
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if c.Subprotocol() != "json" {
				t.Errorf("subprotocol %q", c.Subprotocol())
			}
			pongs := 0
			c.SetPongHandler(func(data string) error {
				if data != "are you there" {
					t.Errorf("pong %q", data)
				}
				pongs++
				return nil
			})
			sent := messages()
			for i, m := range sent {
				kind := gorilla.TextMessage + i%2
				if err := errors.Join(c.WriteControl(gorilla.PingMessage, []byte("are you there"), time.Now().Add(time.Second)), c.WriteMessage(kind, []byte(m))); err != nil {
					t.Fatal(err)
				}
				gotKind, got, err := c.ReadMessage()
				if err != nil || gotKind != kind || string(got) != m {
					t.Fatalf("message %d of %d bytes: kind %d, %d bytes, %v", i, len(m), gotKind, len(got), err)
				}
			}
			if pongs != len(sent) {
				t.Errorf("%d pongs for %d pings", pongs, len(sent))
			}
			if err := c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(1001, "bye"), time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.ReadMessage(); !gorilla.IsCloseError(err, 1001) {
				t.Errorf("close: %v", err)
			}
			c.Close()
			s, err := stop()
			if !errors.Is(err, errPeerClosed) {
				t.Error(err)
			}
			if s.agreed.Deflate != compress || s.received.compressed > 0 != compress || s.received.plain == 0 {
				t.Errorf("agreed %+v; %d compressed, %d plain", s.agreed, s.received.compressed, s.received.plain)
			}
		})
	}
}

func TestInteropCoder(t *testing.T) {
	for _, mode := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionNoContextTakeover, websocket.CompressionContextTakeover} {
		t.Run(fmt.Sprintf("mode=%d", mode), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			addr, stop := listen(t, &Upgrader{Deflate: true})
			c, _, err := websocket.Dial(ctx, "ws://"+addr+"/ws", &websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			c.SetReadLimit(1 << 20)
			for i, m := range messages() {
				kind := websocket.MessageText
				if i%2 == 1 {
					kind = websocket.MessageBinary
				}
				if err := c.Write(ctx, kind, []byte(m)); err != nil {
					t.Fatal(err)
				}
				gotKind, got, err := c.Read(ctx)
				if err != nil || gotKind != kind || string(got) != m {
					t.Fatalf("message %d of %d bytes: kind %d, %d bytes, %v", i, len(m), gotKind, len(got), err)
				}
			}
			if err := c.Close(4321, "bye"); err != nil {
				t.Error(err)
			}
			s, err := stop()
			if !errors.Is(err, errPeerClosed) {
				t.Error(err)
			}
			// A client that keeps its window has to give it up, as it was answered.
			if want := mode != websocket.CompressionDisabled; s.agreed.Deflate != want || s.received.compressed > 0 != want {
				t.Errorf("agreed %+v; %d compressed", s.agreed, s.received.compressed)
			}
		})
	}
}

// What an independent client sees of refusals.
func TestInteropRefusals(t *testing.T) {
	bad := map[string]struct {
		write func(c *gorilla.Conn) error
		code  int
	}{
		"text that is not UTF-8": {func(c *gorilla.Conn) error { return c.WriteMessage(gorilla.TextMessage, []byte("a\xff")) }, 1007},
		"a message too big":      {func(c *gorilla.Conn) error { return c.WriteMessage(gorilla.BinaryMessage, make([]byte, 65_537)) }, 1009},
		"a frame without a mask": {func(c *gorilla.Conn) error { _, err := c.NetConn().Write([]byte{0x81, 0x00}); return err }, 1002},
	}
	for name, b := range bad {
		t.Run(name, func(t *testing.T) {
			addr, stop := listen(t, &Upgrader{})
			c, _, err := gorilla.DefaultDialer.Dial("ws://"+addr+"/ws", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := b.write(c); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.ReadMessage(); !gorilla.IsCloseError(err, b.code) {
				t.Errorf("%v, want close %d", err, b.code)
			}
			if _, err := stop(); codeOf(t, err) != uint16(b.code) {
				t.Error(err)
			}
		})
	}
	t.Run("another path", func(t *testing.T) {
		addr, stop := listen(t, &Upgrader{})
		_, response, err := gorilla.DefaultDialer.Dial("ws://"+addr+"/", nil)
		if err == nil || response == nil || response.StatusCode != 404 {
			t.Fatalf("%v, %v", response, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || !strings.Contains(string(body), "/ws") {
			t.Errorf("body %q, %v", body, err)
		}
		var refusal *Refusal
		if _, err := stop(); !errors.As(err, &refusal) {
			t.Error(err)
		}
	})
	t.Run("plain HTTP", func(t *testing.T) {
		addr, stop := listen(t, &Upgrader{})
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + addr + "/ws")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != 426 || response.Header.Get("Sec-WebSocket-Version") != "13" || response.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%d %v", response.StatusCode, response.Header)
		}
		if _, err := stop(); err == nil {
			t.Error("accepted")
		}
	})
}
