package auth

import (
	"fmt"
	"net/http"
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
	if decided.by[1] != nil {
		t.Error("a request was decided after its time")
	}
}

// A reload changes keys and claims while requests are decided; a bad one
// changes nothing.
func TestReload(t *testing.T) {
	service, decided := startService(t, Config{Methods: []string{MethodJWT}, JWT: JWTConfig{Secret: testSecret}})
	const other = "ffffffffffffffffffffffffffffffff"
	before := signHS(t, nil)
	after := sign(t, jwt.SigningMethodHS256, []byte(other), "", claims(nil))
	wantStatus(t, check(t, service, after), 401)
	if err := service.Reload(JWTConfig{Secret: "short"}, WebhookConfig{}); err == nil {
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
	if err := service.Reload(JWTConfig{Secret: other}, WebhookConfig{}); err != nil {
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
