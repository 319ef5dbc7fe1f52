package auth

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/limpet-gateway/limpet/internal/inputfile"
	"github.com/limpet-gateway/limpet/internal/session"
)

// everything accepts HS256, RS256, ES256 and EdDSA, each with its own key.
func everything(t testing.TB) *jwtMethod {
	t.Helper()
	k := keys()
	m, err := newJWT(JWTConfig{
		Secret:   testSecret,
		KeyFiles: []string{pemFile(t, &k.rsa.PublicKey, &k.ec.PublicKey, k.ed.Public())},
		Issuer:   "issuer", Audience: "limpet", Leeway: 5 * time.Second,
		Groups: "groups", Priority: "priority", Messages: "message_rate", Bytes: "byte_rate",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEveryAlgorithm(t *testing.T) {
	m, k := everything(t), keys()
	for name, token := range map[string]string{
		"HS256": signHS(t, nil),
		"RS256": sign(t, jwt.SigningMethodRS256, k.rsa, "any", claims(nil)),
		"ES256": sign(t, jwt.SigningMethodES256, k.ec, "", claims(nil)),
		"EdDSA": sign(t, jwt.SigningMethodEdDSA, k.ed, "", claims(nil)),
	} {
		id, err := m.verify(token)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if id.Principal != "dev1" || time.Until(id.Expires) < 10*time.Minute || time.Until(id.Expires) > 11*time.Minute {
			t.Errorf("%s: %+v", name, id)
		}
	}
}

func TestTokensThatMustFail(t *testing.T) {
	m, k := everything(t), keys()
	now := time.Now().Unix()
	good := signHS(t, nil)
	parts := strings.Split(good, ".")
	rsaPEM := pemOf(t, &k.rsa.PublicKey)
	block, _ := pem.Decode(rsaPEM)
	// Of the last character of a signature of 32 bytes four bits count.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, good[len(good)-1])
	tokens := map[string]string{
		"empty":                        "",
		"not a token":                  "hello",
		"two parts":                    parts[0] + "." + parts[1],
		"four parts":                   good + ".x",
		"bad base64 in header":         "!!!." + parts[1] + "." + parts[2],
		"bad base64 in claims":         parts[0] + ".****." + parts[2],
		"bad base64 in signature":      parts[0] + "." + parts[1] + ".\x00",
		"padding in signature":         good + "=",
		"bits behind the signature":    good[:len(good)-1] + alphabet[last+1:last+2],
		"claims are not JSON":          parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte("{")) + "." + parts[2],
		"100 KB":                       signHS(t, jwt.MapClaims{"pad": strings.Repeat("x", 100<<10)}),
		"no signature":                 parts[0] + "." + parts[1] + ".",
		"alg none":                     segment(map[string]string{"alg": "none", "typ": "JWT"}) + "." + parts[1] + ".",
		"alg None with a signature":    segment(map[string]string{"alg": "None"}) + "." + parts[1] + "." + parts[2],
		"no alg":                       segment(map[string]string{"typ": "JWT"}) + "." + parts[1] + "." + parts[2],
		"alg is a number":              segment(map[string]int{"alg": 1}) + "." + parts[1] + "." + parts[2],
		"HS512, not accepted":          sign(t, jwt.SigningMethodHS512, []byte(testSecret), "", claims(nil)),
		"PS256, not accepted":          sign(t, jwt.SigningMethodPS256, k.rsa, "", claims(nil)),
		"RS512, not accepted":          sign(t, jwt.SigningMethodRS512, k.rsa, "", claims(nil)),
		"ES384 with another curve":     sign(t, jwt.SigningMethodES384, k.ec384, "", claims(nil)),
		"HS256, wrong secret":          sign(t, jwt.SigningMethodHS256, []byte(strings.ToUpper(testSecret)), "", claims(nil)),
		"RS256, wrong key":             sign(t, jwt.SigningMethodRS256, k.otherRSA, "", claims(nil)),
		"HS256 with the RSA key's PEM": sign(t, jwt.SigningMethodHS256, rsaPEM, "", claims(nil)),
		"HS256 with the RSA key's DER": sign(t, jwt.SigningMethodHS256, block.Bytes, "", claims(nil)),
		"HS256 with an empty secret":   sign(t, jwt.SigningMethodHS256, []byte{}, "", claims(nil)),
		"changed claims":               parts[0] + "." + segment(claims(jwt.MapClaims{"sub": "root"})) + "." + parts[2],
		"expired":                      signHS(t, jwt.MapClaims{"exp": now - 10}),
		"no exp":                       signHS(t, jwt.MapClaims{"exp": nil}),
		"exp is a text":                signHS(t, jwt.MapClaims{"exp": "tomorrow"}),
		"exp is negative":              signHS(t, jwt.MapClaims{"exp": -1}),
		"not yet valid":                signHS(t, jwt.MapClaims{"nbf": now + 60}),
		"wrong audience":               signHS(t, jwt.MapClaims{"aud": "another"}),
		"no audience":                  signHS(t, jwt.MapClaims{"aud": nil}),
		"wrong issuer":                 signHS(t, jwt.MapClaims{"iss": "another"}),
		"no issuer":                    signHS(t, jwt.MapClaims{"iss": nil}),
		"no principal":                 signHS(t, jwt.MapClaims{"sub": nil}),
		"empty principal":              signHS(t, jwt.MapClaims{"sub": ""}),
		"principal is a number":        signHS(t, jwt.MapClaims{"sub": 7}),
		"principal with a line break":  signHS(t, jwt.MapClaims{"sub": "dev1\nlevel=ERROR"}),
		"principal of 129 bytes":       signHS(t, jwt.MapClaims{"sub": strings.Repeat("x", 129)}),
		"groups is a number":           signHS(t, jwt.MapClaims{"groups": 7}),
		"a group is a number":          signHS(t, jwt.MapClaims{"groups": []any{"a", 7}}),
		"a group is empty":             signHS(t, jwt.MapClaims{"groups": []any{""}}),
		"65 groups":                    signHS(t, jwt.MapClaims{"groups": strings.Split(strings.Repeat("g,", 64)+"g", ",")}),
		"unknown priority":             signHS(t, jwt.MapClaims{"priority": "urgent"}),
		"negative rate":                signHS(t, jwt.MapClaims{"message_rate": -1}),
		"rate is a fraction":           signHS(t, jwt.MapClaims{"byte_rate": 0.5}),
		"rate beyond the largest":      signHS(t, jwt.MapClaims{"message_rate": maxRate + 1}),
		"rate beyond 64 bits":          signHS(t, jwt.MapClaims{"byte_rate": 1e300}),
	}
	critical := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(nil))
	critical.Header["crit"] = []string{"b64"}
	tokens["an extension that must be understood"], _ = critical.SignedString([]byte(testSecret))
	if _, err := m.verify(good); err != nil {
		t.Fatalf("the good token: %v", err)
	}
	for name, token := range tokens {
		id, denial := m.check(t.Context(), &Request{Token: token})
		if id != nil || denial == nil || denial.Status != 401 {
			t.Errorf("%s: %+v, %v; want 401", name, id, denial)
			continue
		}
		if len(token) > 8 && strings.Contains(denial.Reason, token[len(token)-8:]) || strings.Contains(denial.Reason, "dev1") {
			t.Errorf("%s: the answer repeats parts of the token: %s", name, denial.Reason)
		}
		if name == "exp is a text" && !strings.Contains(denial.Reason, "a claim") {
			t.Errorf("%s: the answer blames something else: %s", name, denial.Reason)
		}
	}
}

// With public keys alone an HMAC can never be right, whatever it was made with.
func TestNoSecretMeansNoHMAC(t *testing.T) {
	k := keys()
	m, err := newJWT(JWTConfig{KeyFiles: []string{pemFile(t, &k.rsa.PublicKey)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{{}, pemOf(t, &k.rsa.PublicKey), k.rsa.N.Bytes()} {
		if _, err := m.verify(sign(t, jwt.SigningMethodHS256, secret, "", claims(nil))); err == nil {
			t.Errorf("an HMAC over %d bytes of secret is accepted", len(secret))
		}
	}
	m, err = newJWT(JWTConfig{Secret: testSecret}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.verify(sign(t, jwt.SigningMethodRS256, k.rsa, "", claims(nil))); err == nil {
		t.Error("RS256 is accepted without a key")
	}
}

func TestLeeway(t *testing.T) {
	m := everything(t)
	now := time.Now().Unix()
	for name, changes := range map[string]jwt.MapClaims{
		"expired 3 s ago":  {"exp": now - 3},
		"valid in 3 s":     {"nbf": now + 3},
		"audience in list": {"aud": []string{"other", "limpet"}},
	} {
		if _, err := m.verify(signHS(t, changes)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClaims(t *testing.T) {
	exp := time.Now().Add(time.Hour).Truncate(time.Second)
	token := signHS(t, jwt.MapClaims{
		"exp": exp.Unix(), "device": "d-7", "org": "acme", "roles": []string{"x", "y", "x"}, "prio": "low", "mps": 10, "bps": 4096,
	})
	m, err := newJWT(JWTConfig{Secret: testSecret, Principal: "device", Tenant: "org", Groups: "roles", Priority: "prio", Messages: "mps", Bytes: "bps"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.verify(token)
	want := &Identity{Principal: "acme/d-7", Groups: []string{"acme/x", "acme/y"}, Priority: priority(session.Low), Expires: exp, Limits: Limits{10, 4096}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	// Claims that are not named are not read, whatever they hold.
	m, err = newJWT(JWTConfig{Secret: testSecret}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err = m.verify(signHS(t, jwt.MapClaims{"exp": exp.Unix(), "groups": 7, "": "x"}))
	if diff := cmp.Diff(&Identity{Principal: "dev1", Expires: exp}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Tokens that are to live for ever, or count milliseconds, are good until the
// last year that can be told.
func TestFarExpiry(t *testing.T) {
	m, err := newJWT(JWTConfig{Secret: testSecret, Leeway: 30 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, exp := range []float64{253402300799, 253402300800, float64(time.Now().UnixMilli()), 9e18} {
		id, err := m.verify(signHS(t, jwt.MapClaims{"exp": exp}))
		if err != nil {
			t.Errorf("exp %v: %v", exp, err)
			continue
		}
		if year := id.Expires.UTC().Year(); year != 9999 {
			t.Errorf("exp %v: good until the year %d, want 9999", exp, year)
		}
	}
}

// Two tenants can never have names in common.
func TestTenantsAreApart(t *testing.T) {
	m, err := newJWT(JWTConfig{Secret: testSecret, Tenant: "org"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, changes := range map[string]jwt.MapClaims{
		"no tenant":    {"sub": "acme/root"},
		"empty tenant": {"org": "", "sub": "acme/root"},
		"slash":        {"org": "acme/x"},
		"not a name":   {"org": "a b"},
		"too long":     {"org": "acme", "sub": strings.Repeat("x", 124)},
	} {
		if id, err := m.verify(signHS(t, changes)); err == nil {
			t.Errorf("%s: let in as %q", name, id.Principal)
		}
	}
}

func TestKeysThatMustNotLoad(t *testing.T) {
	k := keys()
	file := func(data []byte) string {
		name := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	ed, err := x509.MarshalPKIXPublicKey(k.ed.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]JWTConfig{
		"nothing":        {},
		"short secret":   {Secret: "tiny-s3cr3t"},
		"no file":        {KeyFiles: []string{"/nonexistent/key.pem"}},
		"empty file":     {KeyFiles: []string{file(nil)}},
		"not PEM":        {KeyFiles: []string{file([]byte("hello"))}},
		"private key":    {KeyFiles: []string{file(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(k.ed)}))}},
		"garbage in PEM": {KeyFiles: []string{file(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}))}},
		"cut off":        {KeyFiles: []string{file(append(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: ed}), strings.Repeat("\n", inputfile.MaxBytes)...))}},
		"weak RSA":       {KeyFiles: []string{pemFile(t, &k.weakRSA.PublicKey)}},
		"P-384":          {KeyFiles: []string{pemFile(t, &k.ec384.PublicKey)}},
		"too many":       {KeyFiles: []string{pemFile(t, repeat(k.ed.Public(), maxKeys+1)...)}},
	} {
		_, err := newJWT(cfg, nil)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if cfg.Secret != "" && strings.Contains(err.Error(), cfg.Secret) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

func repeat(key any, n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = key
	}
	return list
}

// What verifying costs a worker: figures for the choice of their number.
func BenchmarkVerify(b *testing.B) {
	m, k := everything(b), keys()
	for _, c := range []struct {
		name  string
		token string
	}{
		{"HS256", signHS(b, nil)},
		{"RS256", sign(b, jwt.SigningMethodRS256, k.rsa, "", claims(nil))},
		{"ES256", sign(b, jwt.SigningMethodES256, k.ec, "", claims(nil))},
		{"EdDSA", sign(b, jwt.SigningMethodEdDSA, ed25519.PrivateKey(k.ed), "", claims(nil))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.verify(c.token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
