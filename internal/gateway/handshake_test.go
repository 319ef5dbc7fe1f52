package gateway

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/auth"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
)

const secret = "0123456789abcdef0123456789abcdef"

func token(t testing.TB, name string, life time.Duration, more ...string) string {
	t.Helper()
	claims := jwt.MapClaims{"sub": name, "exp": time.Now().Add(life).Unix(), "groups": more}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// startAuth starts a gateway at whose door cfg decides.
func startAuth(t testing.TB, cfg auth.Config, origins ...string) (*Gateway, string) {
	t.Helper()
	var decide atomic.Pointer[func(session.ID, any) error]
	cfg.Decided = func(id session.ID, d *auth.Decision) { _ = (*decide.Load())(id, d) }
	cfg.JWT.Secret, cfg.JWT.Groups = secret, "groups"
	service, err := auth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	list, err := auth.ParseOrigins(origins)
	if err != nil {
		t.Fatal(err)
	}
	g, url := startWith(t, Echo, func(g *Gateway) {
		decider := g.engine.Decide
		decide.Store(&decider)
		g.SetAuth(service, 5*time.Second, "node1")
		g.SetOrigins(list)
	})
	t.Cleanup(service.Close) // before the engine closes
	return g, url
}

var jwtOnly = auth.Config{Methods: []string{auth.MethodJWT}}

// knock tries to get in and returns the status of the answer.
func knock(t testing.TB, url string, header http.Header, protocols ...string) (int, *websocket.Conn) {
	t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: patience, Subprotocols: protocols}
	c, resp, err := dialer.Dial(url, header)
	if resp == nil {
		t.Fatalf("dial: %v", err)
	}
	if err == nil {
		t.Cleanup(func() { c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(patience))
	}
	return resp.StatusCode, c
}

func bearer(text string) http.Header { return http.Header{"Authorization": {"Bearer " + text}} }

func TestTokensGetIn(t *testing.T) {
	g, url := startAuth(t, jwtOnly)
	for name, try := range map[string]func() (int, *websocket.Conn){
		"header": func() (int, *websocket.Conn) { return knock(t, url, bearer(token(t, "header", time.Hour, "g"))) },
		"query": func() (int, *websocket.Conn) {
			return knock(t, url+"?access_token="+token(t, "query", time.Hour, "g"), nil)
		},
		"subprotocol": func() (int, *websocket.Conn) {
			return knock(t, url, nil, "bearer."+token(t, "subprotocol", time.Hour, "g"))
		},
	} {
		status, c := try()
		if status != 101 {
			t.Errorf("%s: status %d", name, status)
			continue
		}
		if out := g.User(name, push("for you")); out.Delivered != 1 {
			t.Errorf("%s: the session is not known under its principal: %+v", name, out)
		}
		expect(t, c, "for you")
	}
	if out := g.Group("g", push("for the group")); out.Delivered != 3 {
		t.Errorf("group: %+v", out)
	}
}

func TestWhoStaysOut(t *testing.T) {
	g, url := startAuth(t, jwtOnly)
	good := token(t, "dev1", time.Hour)
	for name, c := range map[string]struct {
		url       string
		header    http.Header
		protocols []string
		want      int
	}{
		"no token":         {url, nil, nil, 401},
		"only a name":      {url + "?id=root", nil, nil, 401},
		"expired":          {url, bearer(token(t, "dev1", -time.Hour)), nil, 401},
		"changed":          {url, bearer(good[:len(good)-3] + "abc"), nil, 401},
		"not bearer":       {url, http.Header{"Authorization": {"Basic YTpi"}}, nil, 400},
		"two tokens":       {url + "?access_token=" + good, bearer(good), nil, 400},
		"long principal":   {url, bearer(token(t, strings.Repeat("x", 129), time.Hour)), nil, 401},
		"many groups":      {url, bearer(token(t, "dev1", time.Hour, strings.Split(strings.Repeat("a,b,", 40), ",")...)), nil, 401},
		"huge token":       {url, bearer(strings.Repeat("x", 9000)), nil, 431},
		"origin and query": {url + "?access_token=" + good, http.Header{"Origin": {"https://evil.example"}}, nil, 403},
	} {
		if status, _ := knock(t, c.url, c.header, c.protocols...); status != c.want {
			t.Errorf("%s: status %d, want %d", name, status, c.want)
		}
	}
	if n := g.table.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions of those who stay out", n)
	}
}

// letIn takes every peer for the same one.
type letIn struct {
	g  *Gateway
	as *auth.Identity
}

func (l letIn) NeedsFacts() bool { return false }
func (l letIn) Submit(r *auth.Request) bool {
	return l.g.engine.Decide(r.ID, &auth.Decision{Identity: l.as}) == nil
}

// Who is in more groups than the node allows is refused, and nothing of the
// session is left in the table.
func TestMoreGroupsThanASessionMayHave(t *testing.T) {
	g := New(registry.NewTable(registry.Config{Incarnation: 7, MaxGroups: 1}), slog.New(slog.DiscardHandler))
	g.SetUplink(Echo)
	url := startEngine(t, g, g, func(g *Gateway) {
		g.SetAuth(letIn{g, &auth.Identity{Principal: "dev1", Groups: []string{"a", "b"}}}, 5*time.Second, "node1")
	})
	if status, _ := knock(t, url, nil); status != 403 {
		t.Errorf("status %d, want 403", status)
	}
	if stats := g.table.Stats(); stats.Sessions != 0 {
		t.Errorf("%d sessions are left in the table", stats.Sessions)
	}
}

// An Origin is checked where a browser authenticates by itself, and wherever
// there is a list.
func TestOriginsAtTheDoor(t *testing.T) {
	from := func(origin string, h http.Header) http.Header {
		h = h.Clone()
		if h == nil {
			h = http.Header{}
		}
		h.Set("Origin", origin)
		return h
	}
	good := token(t, "dev1", time.Hour)
	_, open := startAuth(t, jwtOnly)
	_, listed := startAuth(t, jwtOnly, "https://*.example.com")
	for name, c := range map[string]struct {
		url    string
		header http.Header
		want   int
	}{
		"no list, header":              {open, from("https://any.example", bearer(good)), 101},
		"no list, query":               {open + "?access_token=" + good, from("https://any.example", nil), 403},
		"no list, query, no origin":    {open + "?access_token=" + good, nil, 101},
		"list, allowed, query":         {listed + "?access_token=" + good, from("https://app.example.com", nil), 101},
		"list, not allowed, header":    {listed, from("https://evil.example", bearer(good)), 403},
		"list, suffix trick":           {listed, from("https://evilexample.com", bearer(good)), 403},
		"list, no origin: not browser": {listed, bearer(good), 101},
	} {
		if status, _ := knock(t, c.url, c.header); status != c.want {
			t.Errorf("%s: status %d, want %d", name, status, c.want)
		}
	}
}

// A browser adds the cookies of its user to what a page of any origin opens. A
// page that brings a token of its own passes without a list of origins, and must
// then not get in by those cookies.
func TestCookiesBesideAForeignPagesToken(t *testing.T) {
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var question struct{ Token, Cookie string }
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			t.Error(err)
		}
		switch {
		case question.Cookie == "sid=7":
			fmt.Fprint(w, `{"principal":"victim"}`)
		case question.Token == "good":
			fmt.Fprint(w, `{"principal":"page"}`)
		default:
			w.WriteHeader(401)
		}
	}))
	t.Cleanup(hook.Close)
	const page = "https://evil.example"
	for name, c := range map[string]struct {
		methods []string
		origins []string
		origin  string
		offers  []string
		want    int
		as      string
	}{
		"a token of its own":      {[]string{auth.MethodWebhook}, nil, page, []string{"bearer.good"}, 101, "page"},
		"a token that is nothing": {[]string{auth.MethodWebhook}, nil, page, []string{"bearer.x"}, 401, ""},
		"the same, after jwt":     {[]string{auth.MethodJWT, auth.MethodWebhook}, nil, page, []string{"bearer.x"}, 401, ""},
		"no token":                {[]string{auth.MethodWebhook}, nil, page, nil, 403, ""},
		"a page that is listed":   {[]string{auth.MethodWebhook}, []string{page}, page, []string{"bearer.x"}, 101, "victim"},
		"no browser":              {[]string{auth.MethodWebhook}, nil, "", []string{"bearer.x"}, 101, "victim"},
	} {
		g, url := startAuth(t, auth.Config{Methods: c.methods, Webhook: auth.WebhookConfig{URL: hook.URL}}, c.origins...)
		header := http.Header{"Cookie": {"sid=7"}}
		if c.origin != "" {
			header.Set("Origin", c.origin)
		}
		status, _ := knock(t, url, header, c.offers...)
		if status != c.want {
			t.Errorf("%s: status %d, want %d", name, status, c.want)
		}
		if c.as != "" {
			if out := g.User(c.as, push("hello")); out.Delivered != 1 {
				t.Errorf("%s: not in as %s: %+v", name, c.as, out)
			}
		}
	}
}

func TestWebhookIsToldTheFacts(t *testing.T) {
	var body atomic.Value
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 4096)
		n, _ := r.Body.Read(b)
		body.Store(string(b[:n]))
		fmt.Fprint(w, `{"principal":"hooked","groups":["g1"]}`)
	}))
	t.Cleanup(hook.Close)
	g, url := startAuth(t, auth.Config{Methods: []string{auth.MethodWebhook}, Webhook: auth.WebhookConfig{URL: hook.URL}})
	status, c := knock(t, url+"?a=1&access%5Ftoken=tok-en&b=2", http.Header{"Cookie": {"sid=7"}, "User-Agent": {"test"}})
	if status != 101 {
		t.Fatalf("status %d", status)
	}
	for _, want := range []string{`"token":"tok-en"`, `"remote":"127.0.0.1"`, `"query":"a=1\u0026b=2"`, `"cookie":"sid=7"`, `"path":"/ws"`, `"user_agent":"test"`, `"node":"node1"`} {
		if !strings.Contains(body.Load().(string), want) {
			t.Errorf("the webhook was told %s, without %s", body.Load(), want)
		}
	}
	if out := g.Group("g1", push("hello")); out != (bridge.Outcome{Delivered: 1}) {
		t.Errorf("%+v", out)
	}
	expect(t, c, "hello")
	// A cookie is sent by foreign pages too.
	if status, _ := knock(t, url, http.Header{"Cookie": {"sid=7"}, "Origin": {"https://evil.example"}}); status != 403 {
		t.Errorf("a foreign page with a cookie: status %d", status)
	}
}

func TestTokenExpires(t *testing.T) {
	_, url := startAuth(t, jwtOnly)
	status, c := knock(t, url, bearer(token(t, "dev1", 2*time.Second)))
	if status != 101 {
		t.Fatalf("status %d", status)
	}
	var closed *websocket.CloseError
	if _, _, err := c.ReadMessage(); !errors.As(err, &closed) || closed.Code != 4003 {
		t.Fatalf("saw %v, want 4003", err)
	}
}

func TestWithoutToken(t *testing.T) {
	for query, want := range map[string]string{
		"":                              "",
		"access_token=x":                "",
		"a=1&access_token=x&b=2":        "a=1&b=2",
		"access%5Ftoken=x&a=1":          "a=1",
		"a=access_token&access_token2=": "a=access_token&access_token2=",
		"%zz=1":                         "%zz=1",
	} {
		if got := withoutToken(query); got != want {
			t.Errorf("%q without the token is %q, want %q", query, got, want)
		}
	}
}

// BenchmarkHandshake asks what checking a token costs the rate of handshakes:
// connect, upgrade, close, over loopback from 16 clients at a time, with and
// without, in rounds that alternate so that a busy machine slows both. The
// ratio, the median of those of the rounds, is to be 0.7 or more.
func BenchmarkHandshake(b *testing.B) {
	_, open := startWith(b, Echo, nil)
	_, checked := startAuth(b, jwtOnly)
	tok := token(b, "bench", time.Hour)
	address := func(url string) string { return strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/ws") }
	const each = 2000
	var rates [2][]float64
	var ratios []float64 // of neighbours, which met the same other load of the machine
	for b.Loop() {
		for i, addr := range []string{address(open), address(checked)} {
			start := time.Now()
			handshakes(b, addr, tok, each)
			rates[i] = append(rates[i], each/time.Since(start).Seconds())
		}
		last := len(rates[0]) - 1
		ratios = append(ratios, rates[1][last]/rates[0][last])
	}
	median := func(list []float64) float64 { slices.Sort(list); return list[len(list)/2] }
	b.ReportMetric(median(rates[0]), "open/s")
	b.ReportMetric(median(rates[1]), "jwt/s")
	b.ReportMetric(median(ratios), "ratio")
}

func handshakes(b *testing.B, addr, tok string, n int) {
	b.Helper()
	var next atomic.Int64
	done := make(chan error, 16)
	for range cap(done) {
		go func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := oneHandshake(addr, tok, i); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func oneHandshake(addr, tok string, i int64) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetLinger(0) // no TIME-WAIT: a benchmark must not use up the ports
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET /ws?id=dev%d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer %s\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n", i, tok)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != 101 {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}
