package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/limpet-gateway/limpet/internal/session"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSecret = "0123456789abcdef0123456789abcdef"

// Keys are made once: RSA keys take their time.
var keys = sync.OnceValue(func() (k struct {
	rsa, otherRSA, weakRSA *rsa.PrivateKey
	ec, ec384              *ecdsa.PrivateKey
	ed                     ed25519.PrivateKey
}) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.otherRSA, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.weakRSA, _ = rsa.GenerateKey(rand.Reader, 1024)
	k.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.ec384, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
})

func pemOf(t testing.TB, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func pemFile(t testing.TB, publics ...any) string {
	t.Helper()
	var data []byte
	for _, public := range publics {
		data = append(data, pemOf(t, public)...)
	}
	name := filepath.Join(t.TempDir(), "keys.pem")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// claims are good ones with changes; a nil value takes a claim out.
func claims(changes jwt.MapClaims) jwt.MapClaims {
	now := time.Now().Unix()
	c := jwt.MapClaims{"sub": "dev1", "iss": "issuer", "aud": "limpet", "iat": now, "nbf": now - 60, "exp": now + 600}
	maps.Copy(c, changes)
	for name, value := range c {
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

func sign(t testing.TB, method jwt.SigningMethod, key any, kid string, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func signHS(t testing.TB, changes jwt.MapClaims) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, []byte(testSecret), "", claims(changes))
}

func segment(v any) string {
	b, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(b)
}

func jwkRSA(kid string, key *rsa.PublicKey) map[string]string {
	return map[string]string{"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())}
}

// server answers with handler until the test ends.
func server(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// decisions collects what a service decides.
type decisions struct {
	mu sync.Mutex
	by map[uint32]*Decision
}

func (d *decisions) decided(id session.ID, decision *Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.by[id.Slot] != nil {
		panic("decided twice")
	}
	d.by[id.Slot] = decision
}

func (d *decisions) wait(t testing.TB, slot uint32) *Decision {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		d.mu.Lock()
		decision := d.by[slot]
		d.mu.Unlock()
		if decision != nil {
			return decision
		}
	}
	t.Fatalf("nothing was decided over %d", slot)
	return nil
}

func startService(t testing.TB, cfg Config) (*Service, *decisions) {
	t.Helper()
	d := &decisions{by: map[uint32]*Decision{}}
	cfg.Decided, cfg.Log = d.decided, slog.New(slog.DiscardHandler)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, d
}

func request(slot uint32, token string) *Request {
	return &Request{ID: session.ID{Slot: slot, Generation: 1}, Token: token}
}

func check(t testing.TB, s *Service, token string) *Decision {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.Check(ctx, request(0, token))
}

func wantStatus(t testing.TB, d *Decision, status int) {
	t.Helper()
	switch {
	case d.Denial == nil:
		t.Fatalf("let in as %+v, want %d", d.Identity, status)
	case d.Denial.Status != status:
		t.Fatalf("%v, want %d", d.Denial, status)
	}
}
