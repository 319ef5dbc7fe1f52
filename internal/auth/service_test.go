package auth

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Methods are tried in order, and the answer is the one that helps most.
func TestOrder(t *testing.T) {
	hook := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"principal":"hook"}`) }
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	good := signHS(t, nil)
	for name, c := range map[string]struct {
		methods   []string
		hook      http.HandlerFunc
		token     string
		principal string
		status    int
	}{
		"jwt first":          {[]string{MethodJWT, MethodWebhook}, hook, good, "dev1", 0},
		"webhook first":      {[]string{MethodWebhook, MethodJWT}, hook, good, "hook", 0},
		"jwt no, hook yes":   {[]string{MethodJWT, MethodWebhook}, hook, "bad", "hook", 0},
		"no token, hook yes": {[]string{MethodJWT, MethodWebhook}, hook, "", "hook", 0},
		"hook no, jwt yes":   {[]string{MethodWebhook, MethodJWT}, status(403), good, "dev1", 0},
		"hook down, jwt yes": {[]string{MethodWebhook, MethodJWT}, status(500), good, "dev1", 0},
		"both 401":           {[]string{MethodJWT, MethodWebhook}, status(401), "bad", "", 401},
		"401 and 403":        {[]string{MethodWebhook, MethodJWT}, status(403), "bad", "", 403},
		"401 and down":       {[]string{MethodJWT, MethodWebhook}, status(500), "bad", "", 503},
	} {
		t.Run(name, func(t *testing.T) {
			service, decided := startService(t, Config{Methods: c.methods, JWT: JWTConfig{Secret: testSecret},
				Webhook: WebhookConfig{URL: server(t, c.hook)}})
			service.Submit(request(1, c.token))
			for how, d := range map[string]*Decision{"submitted": decided.wait(t, 1), "checked": check(t, service, c.token)} {
				if c.status != 0 {
					wantStatus(t, d, c.status)
				} else if d.Denial != nil || d.Identity.Principal != c.principal {
					t.Errorf("%s: %+v, %v; want %q", how, d.Identity, d.Denial, c.principal)
				}
			}
		})
	}
}

func TestNobodyWaitsAnyLonger(t *testing.T) {
	service, decided := startService(t, Config{Methods: []string{MethodJWT}, JWT: JWTConfig{Secret: testSecret}})
	late := request(1, signHS(t, nil))
	late.Deadline = time.Now().Add(-time.Second)
	service.Submit(late)
	service.Submit(request(2, signHS(t, nil)))
	decided.wait(t, 2)
	for end := time.Now().Add(patience); service.Stats().Late != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", service.Stats())
		}
	}
	wantStatus(t, decided.wait(t, 1), 503)
}

// A reload changes keys and claims while requests are decided; a bad one
// changes nothing.
func TestReload(t *testing.T) {
	service, decided := startService(t, Config{Methods: []string{MethodJWT}, JWT: JWTConfig{Secret: testSecret}})
	const other = "ffffffffffffffffffffffffffffffff"
	before := signHS(t, nil)
	after := sign(t, jwt.SigningMethodHS256, []byte(other), "", claims(nil))
	wantStatus(t, check(t, service, after), 401)
	if err := reload(service, JWTConfig{Secret: "short"}, WebhookConfig{}); err == nil {
		t.Fatal("a secret that is too short is loaded")
	}
	if d := check(t, service, before); d.Denial != nil {
		t.Fatalf("after a bad reload: %v", d.Denial)
	}
	const n = 200
	go func() {
		for i := range uint32(n) {
			service.Submit(request(i, before))
		}
	}()
	if err := reload(service, JWTConfig{Secret: other}, WebhookConfig{}); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(n) {
		decided.wait(t, i)
	}
	wantStatus(t, check(t, service, before), 401)
	if d := check(t, service, after); d.Denial != nil {
		t.Fatal(d.Denial)
	}
}

func TestConfigsThatMustFail(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no method":      {},
		"unknown method": {Methods: []string{"basic"}},
		"jwt of nothing": {Methods: []string{MethodJWT}},
		"hook of no URL": {Methods: []string{MethodWebhook}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A reload keeps the keys that were fetched: a token of the key set is good at
// once, although its URL does not answer any longer. Where the URL has gone, a
// request that was found unsettled before is refused, and nothing breaks.
func TestReloadKeepsFetchedKeys(t *testing.T) {
	k, s := keys(), &keyServer{}
	s.set(jwkRSA("a", &k.rsa.PublicKey))
	service, _, _ := jwksService(t, s)
	good := sign(t, jwt.SigningMethodRS256, k.rsa, "a", claims(nil))
	s.mu.Lock()
	s.body = "" // the URL answers 500 from now on
	s.mu.Unlock()
	cfg := service.cfg.JWT
	cfg.Leeway = time.Second
	if err := reload(service, cfg, WebhookConfig{}); err != nil {
		t.Fatal(err)
	}
	if d := check(t, service, good); d.Denial != nil {
		t.Errorf("after a reload: %v", d.Denial)
	}
	if err := reload(service, JWTConfig{Secret: testSecret}, WebhookConfig{}); err != nil {
		t.Fatal(err)
	}
	_, denial := service.stages[0].in.Load().method.(slowMethod).settle(t.Context(), request(1, good))
	wantStatus(t, &Decision{Denial: denial}, 401)
}

// While a secret is exchanged both are good; without the old one it is not.
func TestOldSecret(t *testing.T) {
	const other = "ffffffffffffffffffffffffffffffff"
	service, _ := startService(t, Config{Methods: []string{MethodJWT}, JWT: JWTConfig{Secret: other, Old: testSecret}})
	for _, token := range []string{signHS(t, nil), sign(t, jwt.SigningMethodHS256, []byte(other), "", claims(nil))} {
		if d := check(t, service, token); d.Denial != nil {
			t.Error(d.Denial)
		}
	}
	if err := reload(service, JWTConfig{Secret: other}, WebhookConfig{}); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, check(t, service, signHS(t, nil)), 401)
	if err := reload(service, JWTConfig{Secret: other, Old: "short"}, WebhookConfig{}); err == nil {
		t.Error("an old secret that is too short is loaded")
	}
}

// A webhook that a reload does not speak of keeps its breaker.
func TestReloadKeepsBreaker(t *testing.T) {
	var asked atomic.Int32
	service, _ := hookService(t, WebhookConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(500)
	})
	for range 2 * breakerFailures {
		wantStatus(t, check(t, service, "tok"), 503)
	}
	if err := reload(service, JWTConfig{}, service.cfg.Webhook); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, check(t, service, "tok"), 503)
	if n := asked.Load(); n != breakerFailures {
		t.Errorf("the webhook was asked %d times, want %d: the reload closed the breaker", n, breakerFailures)
	}
}

// reload puts in force what Prepare accepts.
func reload(s *Service, jwt JWTConfig, webhook WebhookConfig) error {
	install, err := s.Prepare(jwt, webhook)
	if err == nil {
		install()
	}
	return err
}
