package auth

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// keyServer serves a key set that a test changes.
type keyServer struct {
	mu    sync.Mutex
	body  string
	delay time.Duration
	asked atomic.Int32
}

func (s *keyServer) set(keys ...map[string]string) {
	body, _ := json.Marshal(map[string]any{"keys": keys})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = string(body)
}

func (s *keyServer) answer(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	s.mu.Lock()
	body, delay := s.body, s.delay
	s.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
	}
	if body == "" {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, body)
}

func jwksService(t *testing.T, s *keyServer) (*Service, *decisions, *jwks) {
	t.Helper()
	service, decided := startService(t, Config{Methods: []string{MethodJWT}, Workers: 2, JWT: JWTConfig{JWKS: server(t, s.answer), Refresh: time.Hour}})
	keys := service.stages[0].in.Load().method.(*jwtMethod).jwks
	for end := time.Now().Add(patience); s.body != "" && keys.set.Load() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the key set is not fetched")
		}
	}
	return service, decided, keys
}

// Tokens of a new key are accepted as soon as the URL has the key, while those
// of the old one go on being checked, and the URL is asked once for all.
func TestRotationUnderLoad(t *testing.T) {
	k, s := keys(), &keyServer{}
	s.set(jwkRSA("old", &k.rsa.PublicKey))
	service, decided, set := jwksService(t, s)
	set.apart = 0 // the first fetch was a moment ago
	oldToken := sign(t, jwt.SigningMethodRS256, k.rsa, "old", claims(nil))
	newToken := sign(t, jwt.SigningMethodRS256, k.otherRSA, "new", claims(nil))
	if d := check(t, service, oldToken); d.Denial != nil {
		t.Fatal(d.Denial)
	}
	set.apart = time.Hour // one fetch for the new key, not one for each token
	s.set(jwkRSA("old", &k.rsa.PublicKey), jwkRSA("new", &k.otherRSA.PublicKey))
	set.mu.Lock()
	set.fetched = time.Time{}
	set.mu.Unlock()
	const n = 400
	for i := range uint32(n) {
		token := oldToken
		if i%2 == 1 {
			token = newToken
		}
		if !service.Submit(request(i, token)) {
			t.Fatalf("no room for request %d", i)
		}
	}
	for i := range uint32(n) {
		if d := decided.wait(t, i); d.Denial != nil {
			t.Fatalf("request %d: %v", i, d.Denial)
		}
	}
	if asked := s.asked.Load(); asked != 2 {
		t.Errorf("the URL was asked %d times, want twice", asked)
	}
	// A key that is withdrawn is no longer good.
	s.set(jwkRSA("new", &k.otherRSA.PublicKey))
	if err := set.fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, check(t, service, oldToken), 401)
}

// Invented key ids wait for a URL that hangs; tokens with known ones do not.
func TestUnknownKeysHoldUpNobody(t *testing.T) {
	k, s := keys(), &keyServer{}
	s.set(jwkRSA("known", &k.rsa.PublicKey))
	service, decided, set := jwksService(t, s)
	s.mu.Lock()
	s.delay = time.Second
	s.mu.Unlock()
	set.mu.Lock()
	set.fetched = time.Time{}
	set.mu.Unlock()
	bad := sign(t, jwt.SigningMethodRS256, k.otherRSA, "invented", claims(nil))
	for i := range uint32(50) {
		service.Submit(request(i, bad))
	}
	start := time.Now()
	good := sign(t, jwt.SigningMethodRS256, k.rsa, "known", claims(nil))
	service.Submit(request(1000, good))
	if d := decided.wait(t, 1000); d.Denial != nil {
		t.Fatal(d.Denial)
	}
	if took := time.Since(start); took > 800*time.Millisecond {
		t.Errorf("a token with a known key waited %v", took)
	}
	for i := range uint32(50) {
		wantStatus(t, decided.wait(t, i), 401)
	}
	if asked := s.asked.Load(); asked != 2 {
		t.Errorf("50 invented key ids: the URL was asked %d times, want once more than at the start", asked)
	}
}

func TestNoKeySetYet(t *testing.T) {
	k, s := keys(), &keyServer{}
	service, _, set := jwksService(t, s)
	token := sign(t, jwt.SigningMethodRS256, k.rsa, "a", claims(nil))
	d := check(t, service, token)
	wantStatus(t, d, 503)
	if d.Denial.RetryAfter <= 0 {
		t.Error("503 without Retry-After")
	}
	s.set(jwkRSA("a", &k.rsa.PublicKey))
	if err := set.fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := check(t, service, token); d.Denial != nil {
		t.Fatal(d.Denial)
	}
	// Failures later do not take the keys away.
	for name, body := range map[string]string{
		"500": "", "not JSON": "<html>", "no keys": `{"keys":[]}`, "too large": strings.Repeat(" ", jwksMaxBytes) + "{}",
	} {
		s.mu.Lock()
		s.body = body
		s.mu.Unlock()
		if err := set.fetch(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
		if d := check(t, service, token); d.Denial != nil {
			t.Errorf("%s: %v", name, d.Denial)
		}
	}
}

// Keys that could be misused are left out of a set: secrets, encryption keys,
// short ones, other algorithms, and one so long that a check of its signature
// would hold up a worker.
func TestKeysThatAreLeftOut(t *testing.T) {
	k := keys()
	weak := jwkRSA("weak", &k.weakRSA.PublicKey)
	long := jwkRSA("long", &rsa.PublicKey{N: new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), maxRSABits+1), big.NewInt(1)), E: 65537})
	encryption := jwkRSA("enc", &k.rsa.PublicKey)
	encryption["use"] = "enc"
	other := jwkRSA("ps", &k.rsa.PublicKey)
	other["alg"] = "PS256"
	oct := map[string]string{"kty": "oct", "kid": "oct", "alg": "HS256", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}
	body, _ := json.Marshal(map[string]any{"keys": []any{weak, long, encryption, other, oct, map[string]string{"kty": "new"}, jwkRSA("good", &k.rsa.PublicKey)}})
	set, err := parseKeySet(body)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.byID) != 1 || set.byID["good"] == nil || len(set.all.rs256) != 1 {
		t.Errorf("kept %d keys by id and %d RSA keys, want the good one", len(set.byID), len(set.all.rs256))
	}
	body, _ = json.Marshal(map[string]any{"keys": []any{oct, weak}})
	if _, err := parseKeySet(body); err == nil {
		t.Error("a set without a usable key is accepted")
	}
	body, _ = json.Marshal(map[string]any{"keys": make([]map[string]string, maxKeys+1)})
	if _, err := parseKeySet(body); err == nil {
		t.Error("a set with too many keys is accepted")
	}
}

// What a URL answers is read up to a bound, whatever it would be worth.
func TestKeySetIsBounded(t *testing.T) {
	s := &keyServer{}
	s.set(jwkRSA("a", &keys().rsa.PublicKey))
	var size atomic.Int64 // of the answer
	var written atomic.Int64
	url := server(t, func(w http.ResponseWriter, _ *http.Request) {
		written.Store(0)
		n, _ := io.WriteString(w, s.body)
		pad := []byte(strings.Repeat(" ", 64<<10))
		for left := size.Load() - int64(n); left > 0; left -= int64(len(pad)) {
			n, err := w.Write(pad[:min(left, int64(len(pad)))])
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	})
	set := newJWKS(url, time.Hour, slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		size int64
		good bool
	}{{jwksMaxBytes, true}, {jwksMaxBytes + 1, false}, {256 << 20, false}} {
		size.Store(c.size)
		if err := set.fetch(t.Context()); (err == nil) != c.good {
			t.Errorf("a key set of %d bytes: %v", c.size, err)
		}
	}
	if n := written.Load(); n > 64<<20 { // sockets have buffers, too
		t.Errorf("%d bytes of an answer were taken", n)
	}
}

// Where a request goes is configured; an answer cannot send it elsewhere, and
// no error repeats the URL.
func TestKeySetIsNotRedirected(t *testing.T) {
	k, s := keys(), &keyServer{}
	s.set(jwkRSA("a", &k.rsa.PublicKey))
	elsewhere := server(t, s.answer)
	from := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) })
	if err := newJWKS(from, time.Hour, slog.New(slog.DiscardHandler)).fetch(t.Context()); err == nil || s.asked.Load() != 0 {
		t.Errorf("a redirect is followed: %v", err)
	}
	err := newJWKS("http://127.0.0.1:1/?key=hidden", time.Hour, slog.New(slog.DiscardHandler)).fetch(t.Context())
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("the error is %v", err)
	}
}
