package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

const jwtSecret = "0123456789abcdef0123456789abcdef"

// token is one that a gateway with jwtSecret accepts for so long.
func token(t testing.TB, principal string, life time.Duration) string {
	t.Helper()
	claims := jwt.MapClaims{"sub": principal, "exp": time.Now().Add(life).Unix()}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(jwtSecret))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A gateway with authentication, as an operator runs it: who has a token gets
// in under its name and is sent away when it expires, who has none gets 401,
// the API wants its own token, and no secret is in the log.
func TestServeWithTokens(t *testing.T) {
	const apiToken = "0123456789abcdef"
	t.Setenv("LIMPET_JWT_SECRET", jwtSecret)
	t.Setenv("LIMPET_API_TOKEN", apiToken)
	p := startProcess(t, 0, "--auth=jwt", "--uplink=echo", "--log-level=debug")
	token := func(life time.Duration) string { return token(t, "dev1", life) }
	url := "ws://" + p.Listen + "/ws"
	for _, query := range []string{"", "?id=dev1", "?access_token=" + token(-time.Hour)} {
		_, resp, err := websocket.DefaultDialer.Dial(url+query, nil)
		if err == nil || resp == nil || resp.StatusCode != 401 {
			t.Fatalf("%q: %v, %v; want 401", query, resp, err)
		}
	}
	good := token(-28 * time.Second) // within the leeway of 30 s
	c, resp, err := websocket.DefaultDialer.Dial(url, http.Header{"Authorization": {"Bearer " + good}})
	if err != nil {
		t.Fatalf("%v, %v", resp, err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if err := echo(c, "hello"); err != nil {
		t.Fatal(err)
	}
	var closed *websocket.CloseError
	if _, _, err := c.ReadMessage(); !errors.As(err, &closed) || closed.Code != 4003 {
		t.Fatalf("saw %v, want 4003", err)
	}
	for authorization, want := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer " + apiToken: 200} {
		request, _ := http.NewRequest("GET", "http://"+p.API+"/v1/info", nil)
		request.Header.Set("Authorization", authorization)
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("the API with %q: %d, want %d", authorization, resp.StatusCode, want)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		for _, hidden := range []string{jwtSecret, apiToken, good, "dev1"} {
			if strings.Contains(line, hidden) {
				t.Errorf("the log holds %q: %s", hidden, line)
			}
		}
	}
}

// A newer token that a service posts to any node prolongs the session; without
// one it ends with the token that it began with. A token of somebody else, or a
// bad one, prolongs nothing.
func TestRefreshOfTokens(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2, "--auth=jwt", "--jwt-secret="+jwtSecret, "--jwt-leeway=0s", "--api-token="+testToken)
	p, another := nodes[0], nodes[1]
	token := func(name string, life time.Duration, secret string) string {
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": name, "exp": time.Now().Add(life).Unix()}).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	dial := func(name string) *websocket.Conn {
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+p.Listen+"/ws", http.Header{"Authorization": {"Bearer " + token(name, 6*time.Second, jwtSecret)}})
		if err != nil {
			t.Fatalf("%s: %v, %v", name, resp, err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(2 * patience))
		return c
	}
	refreshed := dial("dev1")
	another.want("POST", "/v1/refresh", `{"token":"`+token("dev1", time.Hour, jwtSecret)+`"}`, 200, `"principal":"dev1"`, `"result":"spread"`)
	left := dial("dev2") // its token ends after dev1's first one
	forged := token("dev2", time.Hour, strings.Repeat("x", 32))
	if answer := p.want("POST", "/v1/refresh", `{"token":"`+forged+`"}`, 422); strings.Contains(answer, forged) {
		t.Errorf("the answer repeats the token: %s", answer)
	}
	if _, _, err := left.ReadMessage(); !websocket.IsCloseError(err, 4003) {
		t.Errorf("dev2 saw %v, want 4003", err)
	}
	p.want("POST", "/v1/push", `{"to":"user:dev1","data":"still here"}`, 200)
	p.read(refreshed, "still here")
}

// What authentication lacks is where an operator looks: in /readyz, in the
// metrics and, once, in the log.
func TestTroubleOfAuthentication(t *testing.T) {
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	p := startProcess(t, 0, "--auth=jwt,webhook", "--uplink=echo", "--jwt-jwks="+broken.URL, "--webhook-url="+broken.URL)
	for range 8 { // the circuit breaker opens at 5
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+p.Listen+"/ws", http.Header{"Authorization": {"Bearer " + token(t, "dev1", time.Hour)}})
		if err == nil || resp == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("%v, %v; want 503 with Retry-After", resp, err)
		}
	}
	p.want("GET", "/readyz", "", 200, `"degraded"`, `"jwt-jwks"`, `"webhook"`, "status 404")
	p.want("GET", "/metrics", "", 200, `limpet_auth_decisions_total{result="unavailable"} 8`)
	p.mu.Lock()
	defer p.mu.Unlock()
	if text := strings.Join(p.log, "\n"); strings.Count(text, "authentication is in trouble") != 2 {
		t.Errorf("want one line in the log for each part:\n%s", text)
	}
}
