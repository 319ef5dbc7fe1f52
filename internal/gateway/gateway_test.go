package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/auth"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/wsproto"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"), // gnet's pool for dialling, which lives as long as the process
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

func start(t *testing.T, uplink Uplink) (*Gateway, string) {
	t.Helper()
	return startWith(t, uplink, nil)
}

// startWith has prepare change the gateway before it runs.
func startWith(t testing.TB, uplink Uplink, prepare func(*Gateway)) (*Gateway, string) {
	t.Helper()
	g := New(registry.NewTable(registry.Config{Incarnation: 7}), slog.New(slog.DiscardHandler))
	g.SetUplink(uplink)
	return g, startEngine(t, g, g, prepare)
}

func startEngine(t testing.TB, g *Gateway, h reactor.Handler, prepare func(*Gateway)) (url string) {
	t.Helper()
	e, err := reactor.New(reactor.Config{Addr: "127.0.0.1:0", Incarnation: 7, Loops: 2}, h)
	if err != nil {
		t.Fatal(err)
	}
	g.SetEngine(e)
	if prepare != nil {
		prepare(g)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return "ws://" + e.Addr().String() + "/ws"
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatalf("dial %s: %v %v", url, err, resp)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c
}

func expect(t *testing.T, c *websocket.Conn, want string) {
	t.Helper()
	if _, got, err := c.ReadMessage(); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func push(text string) *bridge.Push {
	return &bridge.Push{Opcode: session.Text, Payload: []byte(text)}
}

func TestPushesReachWhoTheyAreFor(t *testing.T) {
	g, url := start(t, Discard)
	a, b := dial(t, url+"?id=a"), dial(t, url+"?id=b")
	if out := g.User("a", push("to a")); out != (bridge.Outcome{Delivered: 1}) {
		t.Errorf("user a: %+v", out)
	}
	if out := g.User("nobody", push("lost")); out != (bridge.Outcome{Offline: 1}) {
		t.Errorf("user nobody: %+v", out)
	}
	ids := g.table.AppendSessions(nil, []byte("b"))
	if len(ids) != 1 {
		t.Fatalf("sessions of b: %v", ids)
	}
	if out := g.Session(ids[0], push("to b")); out != (bridge.Outcome{Delivered: 1}) {
		t.Errorf("session of b: %+v", out)
	}
	if out := g.Session(session.ID{Incarnation: 1, Generation: 1}, push("lost")); out != (bridge.Outcome{Offline: 1}) {
		t.Errorf("foreign session: %+v", out)
	}
	if out := g.Group("none", push("lost")); out != (bridge.Outcome{Offline: 1}) {
		t.Errorf("empty group: %+v", out)
	}
	if out := g.All(push("to all")); out != (bridge.Outcome{Delivered: 2}) {
		t.Errorf("all: %+v", out)
	}
	expect(t, a, "to a")
	expect(t, a, "to all")
	expect(t, b, "to b")
	expect(t, b, "to all")
}

// A principal has one session unless configured otherwise: the newer one
// stays.
func TestNewerSessionDisplacesOlder(t *testing.T) {
	g, url := start(t, Echo)
	older := dial(t, url+"?id=dev1")
	newer := dial(t, url+"?id=dev1")
	var closed *websocket.CloseError
	if _, _, err := older.ReadMessage(); !errors.As(err, &closed) || closed.Code != 4001 {
		t.Fatalf("the older session saw %v, want 4001", err)
	}
	if err := newer.WriteMessage(websocket.TextMessage, []byte("here")); err != nil {
		t.Fatal(err)
	}
	expect(t, newer, "here")
	if out := g.User("dev1", push("one")); out.Delivered != 1 {
		t.Errorf("%+v", out)
	}
	expect(t, newer, "one")
}

// A newcomer that is refused although the table has it already leaves no
// session behind that lookups do not find: the one that it displaced ends. One
// that is refused before displaces nobody, and no event tells of it.
func TestRefusedNewcomer(t *testing.T) {
	var connected atomic.Int32
	g, url := startWith(t, Echo, func(g *Gateway) {
		g.SetEvents(func(e bridge.Event) bridge.Verdict {
			if e.Kind == bridge.Connected {
				connected.Add(1)
			}
			return bridge.Accepted
		})
	})
	c := dial(t, url+"?id=dev1")
	first := g.table.AppendSessions(nil, []byte("dev1"))[0]

	for rate := 1; g.limits.Assign(first, rate, 0); rate++ { // until no more different rates are known
	}
	newcomer := &reactor.Opening{ID: session.ID{Incarnation: 7, Slot: 77, Generation: 1}, Request: new(wsproto.Request)}
	if r := g.enter(newcomer, &auth.Identity{Principal: "dev1", Limits: auth.Limits{Messages: 1 << 20}}); r == nil || r.Status != 503 {
		t.Fatalf("a session with one rate too many: %v", r)
	}
	if now := g.table.AppendSessions(nil, []byte("dev1")); len(now) != 1 || now[0] != first || connected.Load() != 1 {
		t.Fatalf("sessions %v, %d events of a beginning; want the first alone", now, connected.Load())
	}

	groups := strings.Split(strings.Repeat("g,", 64)+"g", ",")
	for i := range groups {
		groups[i] += strconv.Itoa(i)
	}
	if r := g.enter(newcomer, &auth.Identity{Principal: "dev1", Groups: groups}); r == nil || r.Status != 403 {
		t.Fatalf("a session in one group too many: %v", r)
	}
	var closed *websocket.CloseError
	if _, _, err := c.ReadMessage(); !errors.As(err, &closed) || closed.Code != 4001 {
		t.Fatalf("the session that lookups do not find any more saw %v, want 4001", err)
	}
}

func TestPrincipalsAreForgotten(t *testing.T) {
	g, url := start(t, Echo)
	for i := range 50 {
		dial(t, fmt.Sprintf("%s?id=dev%d", url, i)).Close()
	}
	for end := time.Now().Add(patience); g.table.Stats().Sessions != 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", g.table.Stats())
		}
	}
}

func TestUnnamedPeersDiffer(t *testing.T) {
	g, url := start(t, Echo)
	dial(t, url)
	dial(t, url)
	if n := g.engine.Sessions(); n != 2 {
		t.Errorf("%d sessions of two unnamed peers", n)
	}
}

func TestBadPrincipals(t *testing.T) {
	_, url := start(t, Echo)
	for _, query := range []string{"id=", "id=a%20b", "id=a%0ab", "id=%C3%A9", "id=" + strings.Repeat("x", 129)} {
		_, resp, err := websocket.DefaultDialer.Dial(url+"?"+query, nil)
		if err == nil || resp == nil || resp.StatusCode != 400 {
			t.Errorf("%s: %v %v, want 400", query, resp, err)
		}
	}
	dial(t, url+"?id="+strings.Repeat("x", 128))
	dial(t, url+"?id=a-._~:@%2B=/9Z")
}

// The address that the reactor gives is what the event and the webhook are
// told.
func TestClientsAddressIsTold(t *testing.T) {
	g, _ := start(t, Discard)
	var told []string
	g.SetEvents(func(e bridge.Event) bridge.Verdict { told = append(told, e.Remote); return bridge.Accepted })
	for _, c := range []struct {
		remote netip.AddrPort
		want   string
	}{{netip.MustParseAddrPort("192.0.2.7:56324"), "192.0.2.7"}, {netip.MustParseAddrPort("[2001:db8::1]:1"), "2001:db8::1"}, {netip.AddrPort{}, ""}} {
		o := &reactor.Opening{Request: new(wsproto.Request), Remote: c.remote}
		if got := g.door.facts(o).Remote; got != c.want {
			t.Errorf("the webhook is told %q, want %q", got, c.want)
		}
		if !g.connected("dev1", o, 1) || told[len(told)-1] != c.want {
			t.Errorf("the event tells %q, want %q", told, c.want)
		}
	}
}
