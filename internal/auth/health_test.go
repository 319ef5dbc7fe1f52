package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/limpet-gateway/limpet/internal/logtest"
)

// troubles is what a service told last of each part, and what it logged.
type troubles struct {
	mu  sync.Mutex
	now map[string]string // guarded by mu

	logtest.Log
}

func (t *troubles) told(part, trouble string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now[part] = trouble
}

func (t *troubles) of(part string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now[part]
}

// lines counts those of the log that are warnings or worse, or say that
// something works again.
func (t *troubles) lines() int { return t.Count("\n") }

func troubledService(t *testing.T, cfg Config) (*Service, *troubles) {
	t.Helper()
	seen := &troubles{now: map[string]string{}}
	cfg.Decided, cfg.Trouble, cfg.Log = (&decisions{by: map[uint32]*Decision{}}).decided, seen.told, slog.New(slog.NewTextHandler(seen, nil))
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, seen
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A key set that cannot be fetched is told once with its reason, and so is that
// it can be again; however often it was tried in between, the log has two lines.
func TestTroubleOfAKeySet(t *testing.T) {
	k, s := keys(), &keyServer{}
	service, seen := troubledService(t, Config{Methods: []string{MethodJWT}, JWT: JWTConfig{JWKS: server(t, s.answer), Refresh: time.Hour}})
	eventually(t, "the trouble", func() bool { return seen.of("jwt-jwks") != "" })
	if text := seen.of("jwt-jwks"); !strings.Contains(text, "status 500") || !strings.Contains(text, "503") {
		t.Errorf("the trouble is %q", text)
	}
	set := service.stages[0].in.Load().method.(*jwtMethod).jwks
	for range 5 {
		_ = set.fetch(t.Context())
	}
	s.set(jwkRSA("a", &k.rsa.PublicKey))
	if err := set.fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := seen.of("jwt-jwks"); text != "" || seen.lines() != 2 {
		t.Errorf("trouble %q and %d lines in the log, want none and 2:\n%s", text, seen.lines(), seen.String())
	}
	s.set()
	if set.fetch(t.Context()) == nil || !strings.Contains(seen.of("jwt-jwks"), "stay in use") {
		t.Errorf("with keys from before the trouble is %q", seen.of("jwt-jwks"))
	}
	// What is configured away is no trouble any more.
	if err := reload(service, JWTConfig{Secret: testSecret}, WebhookConfig{}); err != nil {
		t.Fatal(err)
	}
	if text := seen.of("jwt-jwks"); text != "" {
		t.Errorf("after a reload without the URL: %q", text)
	}
}

// The trouble of a webhook says what it did; an outage has two lines in the
// log, however often the circuit breaker tries it.
func TestTroubleOfAWebhook(t *testing.T) {
	var works atomic.Bool
	service, seen := troubledService(t, Config{Methods: []string{MethodWebhook}, Webhook: WebhookConfig{
		URL: server(t, func(w http.ResponseWriter, _ *http.Request) {
			if works.Load() {
				fmt.Fprint(w, `{"principal":"a"}`)
			} else {
				w.WriteHeader(http.StatusNotFound)
			}
		})}})
	for range 2 * breakerFailures {
		wantStatus(t, check(t, service, "tok"), 503)
	}
	if text := seen.of("webhook"); !strings.Contains(text, "status 404") {
		t.Errorf("the trouble is %q", text)
	}
	time.Sleep(breakerOpen + 100*time.Millisecond) // the breaker has no clock of ours
	wantStatus(t, check(t, service, "tok"), 503)   // it tried once more
	works.Store(true)
	eventually(t, "the webhook to be used", func() bool { return check(t, service, "tok").Denial == nil })
	if text := seen.of("webhook"); text != "" || seen.lines() != 2 {
		t.Errorf("trouble %q and %d lines in the log, want none and 2:\n%s", text, seen.lines(), seen.String())
	}
}

// With keys from files and from a URL, a key that is new at the URL is fetched
// as it is without files, and a token that neither can verify is refused.
func TestRotationBesideKeyFiles(t *testing.T) {
	k, s := keys(), &keyServer{}
	ofFile, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s.set(jwkRSA("old", &k.rsa.PublicKey))
	service, _ := startService(t, Config{Methods: []string{MethodJWT}, JWT: JWTConfig{
		JWKS: server(t, s.answer), Refresh: time.Hour, KeyFiles: []string{pemFile(t, &ofFile.PublicKey)}}})
	set := service.stages[0].in.Load().method.(*jwtMethod).jwks
	eventually(t, "the key set", func() bool { return set.set.Load() != nil })
	s.set(jwkRSA("old", &k.rsa.PublicKey), jwkRSA("new", &k.otherRSA.PublicKey))
	set.mu.Lock()
	set.fetched = time.Time{}
	set.mu.Unlock()
	if d := check(t, service, sign(t, jwt.SigningMethodRS256, k.otherRSA, "new", claims(nil))); d.Denial != nil {
		t.Errorf("a token of the new key: %v", d.Denial)
	}
	wantStatus(t, check(t, service, sign(t, jwt.SigningMethodRS256, k.otherRSA, "old", claims(nil))), 401)
	wantStatus(t, check(t, service, sign(t, jwt.SigningMethodRS256, k.otherRSA, "invented", claims(nil))), 401)
}
