package reactor

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/limpet-gateway/limpet/internal/admission"
	"github.com/limpet-gateway/limpet/internal/proxyheader"
	"github.com/limpet-gateway/limpet/wsproto"
)

// loadBalancers trusts networks to say who is behind them.
func loadBalancers(t *testing.T, networks ...string) *proxyheader.Trusted {
	t.Helper()
	parsed, err := proxyheader.ParseNetworks(networks)
	if err != nil {
		t.Fatal(err)
	}
	return proxyheader.NewTrusted(parsed)
}

// behind is the header of a load balancer whose client is 192.0.2.n.
func behind(n int) string { return fmt.Sprintf("PROXY TCP4 192.0.2.%d 198.51.100.1 56324 443\r\n", n) }

const (
	v2Behind7 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb" // 192.0.2.7
	v2Local   = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

// remotes notes where sessions come from, by ?id=.
type remotes struct {
	mu sync.Mutex
	of map[string]netip.AddrPort
}

func (r *remotes) note(o *Opening) *wsproto.Refusal {
	name, _ := o.Request.Query("id")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string]netip.AddrPort{}
	}
	r.of[strings.Clone(name)] = o.Remote
	return nil
}

func (r *remotes) get(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[name].String()
}

// The client of a load balancer is the one that its header names: for the
// handler, and for the gate from the first byte to the end, however the bytes
// arrive.
func TestClientBehindALoadBalancer(t *testing.T) {
	gate, seen := &turnstile{most: 2}, &remotes{}
	e := startEngine(t, Config{Gate: gate, Preface: loadBalancers(t, "127.0.0.0/8")}, &recorder{onOpen: seen.note})
	for i, c := range []struct {
		name string
		send func(c *raw, request string)
		want string // address of the client, "" for the load balancer's own
	}{
		{"one segment", func(c *raw, r string) { c.send([]byte(behind(7) + r)) }, "192.0.2.7:56324"},
		{"version 2", func(c *raw, r string) { c.send([]byte(v2Behind7 + r)) }, "192.0.2.7:56324"},
		{"header, request", func(c *raw, r string) { c.part(e, behind(7)); c.send([]byte(r)) }, "192.0.2.7:56324"},
		{"byte by byte", func(c *raw, r string) {
			for _, b := range []byte(v2Behind7 + r) {
				c.send([]byte{b})
			}
		}, "192.0.2.7:56324"},
		{"header in two", func(c *raw, r string) {
			c.part(e, behind(7)[:20])
			c.send([]byte(behind(7)[20:] + r))
		}, "192.0.2.7:56324"},
		{"request in two", func(c *raw, r string) {
			c.part(e, behind(7)+r[:20])
			c.send([]byte(r[20:]))
		}, "192.0.2.7:56324"},
		{"a check of its own", func(c *raw, r string) { c.send([]byte("PROXY UNKNOWN\r\n" + r)) }, ""},
		{"a check, version 2", func(c *raw, r string) { c.part(e, v2Local); c.send([]byte(r)) }, ""},
	} {
		// One after the other, in one test: startEngine makes tests parallel.
		name := strconv.Itoa(i)
		client := dialRaw(t, e)
		c.send(client, request(name))
		client.expectStatus(101)
		host, want := "192.0.2.7", c.want
		if want == "" {
			host, want = "127.0.0.1", client.LocalAddr().String()
		}
		if got := seen.get(name); got != want {
			t.Errorf("%s: the client is %s, want %s", c.name, got, want)
		}
		if n := gate.from(host); n != 1 {
			t.Errorf("%s: the gate counts %d from %s, want 1", c.name, n, host)
		}
		client.send(masked(1, true, []byte("hello")))
		if f, err := client.frame(); err != nil || string(f.Payload) != "hello" {
			t.Errorf("%s: echo %q, %v", c.name, f.Payload, err)
		}
		client.Close()
		eventually(t, "the client to have left", func() bool { return gate.from(host) == 0 })
	}
	eventually(t, "nothing to be unfinished", func() bool { return e.Stats().UnfinishedBytes == 0 })
	if s := e.Stats(); s.RefusedProxy != 0 || s.RefusedGate != 0 {
		t.Errorf("refused %d for their header and %d by the gate", s.RefusedProxy, s.RefusedGate)
	}
}

// part sends text and waits until the engine has read it, so that what follows
// comes by itself. Nobody else may send meanwhile.
func (c *raw) part(e *Engine, text string) {
	c.t.Helper()
	before := e.Stats().BytesIn
	c.send([]byte(text))
	eventually(c.t, "a part to be read", func() bool { return e.Stats().BytesIn == before+uint64(len(text)) })
}

// The limit is that of the client's address, not of the load balancer's; a
// client beyond it is told so through the load balancer.
func TestLimitsOfClientsBehindALoadBalancer(t *testing.T) {
	gate := &turnstile{most: 2}
	e := startEngine(t, Config{Gate: gate, Preface: loadBalancers(t, "127.0.0.1")}, &recorder{})
	var open []*raw
	for i := range 12 { // two each
		c := dialRaw(t, e)
		c.send([]byte(behind(i / 2)))
		c.upgrade(strconv.Itoa(i))
		open = append(open, c)
	}
	for i := range 6 {
		c := dialRaw(t, e)
		c.send([]byte(behind(i) + request("late")))
		if resp := c.expectStatus(429); resp.Header.Get("Retry-After") != "7" {
			t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
		}
		c.expectEnd()
	}
	open[0].Close()
	eventually(t, "one to have left", func() bool { return gate.from("192.0.2.0") == 1 })
	c := dialRaw(t, e)
	c.send([]byte(behind(0)))
	c.upgrade("again")
	if n := gate.from("192.0.2.5"); n != 2 {
		t.Errorf("the gate counts %d, want 2", n)
	}
	if n := gate.inside(); n != 0 {
		t.Errorf("%d are counted for the load balancer", n)
	}
	if n := e.Stats().RefusedGate; n != 6 {
		t.Errorf("%d refused, want 6", n)
	}
}

// Where the decision comes later, the client is the same when it comes.
func TestClientBehindALoadBalancerDecidedLater(t *testing.T) {
	gate, seen := &turnstile{most: 2}, &remotes{}
	var e *Engine
	started := make(chan struct{})
	e = startEngine(t, Config{Gate: gate, Preface: loadBalancers(t, "127.0.0.1")}, &recorder{onOpen: func(o *Opening) *wsproto.Refusal {
		if o.Verdict == nil {
			o.Later = true
			id := o.ID
			go func() { <-started; _ = e.Decide(id, "yes") }()
			return nil
		}
		return seen.note(o)
	}})
	close(started)
	for name, parts := range map[string][]string{
		"whole":  {behind(9) + request("whole")},
		"header": {behind(9), request("header")},
		"cut":    {behind(9)[:9], behind(9)[9:] + request("cut")[:9], request("cut")[9:]},
	} {
		c := dialRaw(t, e)
		for _, part := range parts {
			c.part(e, part)
		}
		c.expectStatus(101)
		if got := seen.get(name); got != "192.0.2.9:56324" {
			t.Errorf("%s: the client is %s", name, got)
		}
		c.Close()
	}
	eventually(t, "all to have left", func() bool { return gate.from("192.0.2.9") == 0 })
}

// A connection from a load balancer without a good header ends, and so does
// one from elsewhere with a header. What begins as a header and goes no
// further ends with the handshake.
func TestHeadersThatAreRefused(t *testing.T) {
	gate := &turnstile{most: 100}
	e := startEngine(t, Config{Gate: gate, Preface: loadBalancers(t, "127.0.0.1"), Tuning: Tuning{HandshakeTimeout: time.Second}}, &recorder{})
	elsewhere := netip.MustParseAddr("127.0.0.2")
	cases := []struct {
		name, send string
		from       string // "": the load balancer
		status     int    // 0: it ends without an answer
	}{
		{"no header", request("x"), "", 400},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00", "", 400},
		{"malformed, version 1", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 65536\r\n" + request("x"), "", 400},
		{"malformed, version 2", strings.Replace(v2Behind7, "\x21\x11", "\x21\x41", 1) + request("x"), "", 400},
		{"too long", "PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n" + request("x"), "", 400},
		{"two headers", behind(7) + behind(8) + request("x"), "", 400},
		{"half a header", behind(7)[:20], "", 0},
		{"half a header, version 2", v2Behind7[:20], "", 0},
		{"a header alone", behind(7), "", 0},
		{"nothing", "", "", 0},
		{"forged, version 1", behind(7) + request("x"), "127.0.0.2", 400},
		{"forged, version 2", v2Behind7 + request("x"), "127.0.0.2", 400},
		{"forged and slow", behind(7), "127.0.0.2", 0},
	}
	clients := make([]*raw, len(cases))
	for i, c := range cases {
		d := net.Dialer{Timeout: patience}
		if c.from != "" {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(elsewhere, 0))
		}
		conn, err := d.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		clients[i] = wrapRaw(t, conn)
		clients[i].send([]byte(c.send))
	}
	for i, c := range cases {
		client := clients[i]
		if c.status != 0 {
			client.expectStatus(c.status)
			client.expectEnd()
		} else if got, err := io.ReadAll(client); err != nil && !strings.Contains(err.Error(), "reset") || len(got) > 0 {
			t.Errorf("%s: answer %q, %v; want the end", c.name, got, err)
		}
		client.Close()
	}
	served, err := (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(elsewhere, 0))}).Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	wrapRaw(t, served).upgrade("elsewhere")
	if n := gate.from("127.0.0.2"); n < 1 {
		t.Error("a client from elsewhere is not counted by its own address")
	}
	served.Close()
	eventually(t, "all to have left", func() bool {
		return gate.from("127.0.0.1")+gate.from("127.0.0.2")+gate.from("192.0.2.7") == 0
	})
	s := e.Stats()
	if s.RefusedProxy != 5 {
		t.Errorf("%d refused for their header, want 5", s.RefusedProxy)
	}
	if s.UnfinishedBytes != 0 {
		t.Errorf("%d bytes are left unfinished", s.UnfinishedBytes)
	}
}

// 10,000 clients through one load balancer, each within its own limit and held
// to it, in tables that do not grow with them.
func TestManyClientsBehindOneLoadBalancer(t *testing.T) {
	table := admission.NewTable(admission.Limits{SourceConns: 1})
	e := startEngine(t, Config{Gate: table, Preface: loadBalancers(t, "127.0.0.1")}, &recorder{})
	const clients, atOnce = 10_000, 50
	const stateLimit = 512 << 10 // of the loops, for atOnce connections: 52 bytes for each of the clients
	open := func(i int) (net.Conn, int, error) {
		c, err := net.DialTimeout("tcp", e.Addr().String(), patience)
		if err != nil {
			return nil, 0, err
		}
		_ = c.SetDeadline(time.Now().Add(2 * patience))
		_ = c.(*net.TCPConn).SetLinger(0) // so many would else stay in TIME-WAIT
		if _, err = fmt.Fprintf(c, "PROXY TCP4 10.0.%d.%d 198.51.100.1 56324 443\r\n%s", i/250, i%250, request("many")); err != nil {
			return c, 0, err
		}
		head := make([]byte, len("HTTP/1.1 101"))
		if _, err = io.ReadFull(c, head); err != nil {
			return c, 0, err
		}
		status, err := strconv.Atoi(string(head[9:]))
		return c, status, err
	}
	var workers sync.WaitGroup
	for w := range atOnce {
		workers.Go(func() {
			for i := w; i < clients; i += atOnce {
				c, status, err := open(i)
				if err != nil || status != 101 {
					t.Errorf("client %d: %d, %v", i, status, err)
				}
				if i%20 == 0 && err == nil {
					second, status, err := open(i)
					if err != nil || status != 429 {
						t.Errorf("client %d for the second time: %d, %v", i, status, err)
					}
					if second != nil {
						second.Close()
					}
				}
				if c != nil {
					c.Close()
				}
			}
		})
	}
	workers.Wait()
	eventually(t, "all to have left", func() bool { return e.Stats().Conns == 0 && table.Stats().Sources == 0 })
	eventually(t, "the loops to say what they hold", func() bool { return e.Stats().StateBytes > 0 })
	if s := e.Stats(); s.Opened != clients || s.StateBytes > stateLimit {
		t.Errorf("%d opened; the loops hold %d bytes", s.Opened, s.StateBytes)
	}
	if s := table.Stats(); s.Uncounted != 0 || s.RefusedSourceConns != clients/20 {
		t.Errorf("%+v; want %d refused, and all counted", s, clients/20)
	}
}
