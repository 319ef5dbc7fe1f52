package auth

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/limpet-gateway/limpet/internal/inputfile"
)

// JWTConfig says which tokens are good and what their claims mean.
type JWTConfig struct {
	Secret   string        // of HS256, at least MinSecretBytes; "" accepts no HS256
	Old      string        // another secret, while it is being exchanged; "" for none
	KeyFiles []string      // PEM files with public keys or certificates
	JWKS     string        // URL of a key set; "" for none
	Refresh  time.Duration // between fetches of the key set; 0 is 5 minutes

	Issuer   string        // iss must be this; "" accepts any
	Audience string        // aud must name this; "" accepts any
	Leeway   time.Duration // that clocks may differ; 0 is none

	// Names of claims. Principal "" is sub; the others "" are not read.
	Principal, Groups, Tenant, Priority, Messages, Bytes string

	again bool // the key files have been read before: pipes are empty now
}

const (
	defaultRefresh = 5 * time.Minute
	// maxToken is more than a whole upgrade request may be by default. It is
	// checked here too: the API takes tokens in bodies.
	maxToken = 16 << 10
)

var (
	errUnknownKey = errors.New("the token names a key that is not known")
	// errCritical is about extensions that change what a token means. None is
	// understood here, so none may be passed over (RFC 7515 section 4.1.11).
	errCritical = errors.New("the token has extensions that must be understood")
)

// jwtMethod checks tokens. It is not changed after construction, apart from
// its key set.
type jwtMethod struct {
	cfg     JWTConfig
	secrets jwt.VerificationKeySet // of HS256
	files   publicKeys
	jwks    *jwks // nil without a URL
	parser  *jwt.Parser
}

func newJWT(cfg JWTConfig, log *slog.Logger) (*jwtMethod, error) {
	if cfg.Principal == "" {
		cfg.Principal = "sub"
	}
	if cfg.Refresh == 0 {
		cfg.Refresh = defaultRefresh
	}
	m := &jwtMethod{cfg: cfg}
	var algorithms []string
	for _, secret := range []string{cfg.Secret, cfg.Old} {
		if secret == "" {
			continue
		}
		if len(secret) < MinSecretBytes {
			return nil, fmt.Errorf("a JWT secret is shorter than %d bytes (RFC 7518 section 3.2)", MinSecretBytes)
		}
		m.secrets.Keys = append(m.secrets.Keys, []byte(secret))
	}
	if len(m.secrets.Keys) > 0 {
		algorithms = append(algorithms, algHS256)
	}
	for _, name := range cfg.KeyFiles {
		if err := m.readKeys(name); err != nil {
			return nil, fmt.Errorf("JWT key file %s: %w", name, err)
		}
	}
	if cfg.JWKS != "" {
		m.jwks = newJWKS(cfg.JWKS, cfg.Refresh, log)
	}
	if cfg.JWKS != "" || len(cfg.KeyFiles) > 0 {
		algorithms = append(algorithms, algRS256, algES256, algEdDSA)
	}
	if len(algorithms) == 0 {
		return nil, errors.New("JWT needs a secret, key files or a JWKS URL")
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms),
		jwt.WithLeeway(cfg.Leeway),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
		jwt.WithJSONNumber(),
	}
	if cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		options = append(options, jwt.WithAudience(cfg.Audience))
	}
	m.parser = jwt.NewParser(options...)
	return m, nil
}

func (m *jwtMethod) readKeys(name string) error {
	read := inputfile.ReadFirst
	if m.cfg.again {
		read = inputfile.Read
	}
	data, err := read(name)
	if err != nil {
		return err
	}
	return m.files.parsePEM(data)
}

// inherit takes over the keys that old has fetched from the same URL: until the
// next fetch they are as good as they were.
func (m *jwtMethod) inherit(old *jwtMethod) {
	if m.jwks != nil && old.jwks != nil && m.jwks.url == old.jwks.url {
		m.jwks.set.Store(old.jwks.set.Load())
	}
}

// state implements method: what can fail is to fetch keys.
func (m *jwtMethod) state() *health {
	if m.jwks == nil {
		return nil
	}
	return m.jwks.health
}

func (m *jwtMethod) run(ctx context.Context) {
	if m.jwks != nil {
		m.jwks.run(ctx)
	}
}

// check implements method. It does not block: a key that is not known is
// unsettled, and settle may fetch it.
func (m *jwtMethod) check(_ context.Context, r *Request) (*Identity, *Denial) {
	if r.Token == "" {
		return nil, &Denial{Status: 401, Reason: "a token is needed: Authorization: Bearer TOKEN, subprotocol bearer.TOKEN, or access_token in the query"}
	}
	id, err := m.verify(r.Token)
	switch {
	case err == nil:
		return id, nil
	case errors.Is(err, errUnknownKey):
		return nil, unsettled
	case errors.Is(err, errNoKeys):
		return nil, &Denial{Status: 503, Reason: "tokens cannot be checked at the moment", RetryAfter: jwksRetry}
	default:
		denial := &Denial{Status: 401, Reason: wordsFor(err)}
		if claim := (*claimError)(nil); errors.As(err, &claim) {
			denial.detail = claim.Error()
		}
		return nil, denial
	}
}

// settle implements slowMethod: it fetches the key set, if that is not too
// recent, and checks again.
func (m *jwtMethod) settle(ctx context.Context, r *Request) (*Identity, *Denial) {
	if m.jwks != nil { // a reload may have taken the URL away since the request was found unsettled
		m.jwks.refetch(ctx)
	}
	id, denial := m.check(ctx, r)
	if denial == unsettled {
		return nil, &Denial{Status: 401, Reason: wordsFor(errUnknownKey)}
	}
	return id, denial
}

// verify checks a token and reads its claims.
func (m *jwtMethod) verify(token string) (*Identity, error) {
	if len(token) > maxToken {
		return nil, jwt.ErrTokenMalformed
	}
	claims := jwt.MapClaims{}
	var missing error
	_, err := m.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (keys any, err error) {
		keys, missing, err = m.keysFor(t)
		return keys, err
	})
	if missing != nil && errors.Is(err, jwt.ErrTokenSignatureInvalid) {
		return nil, missing // a key that is not here might have verified it
	}
	if err != nil {
		return nil, err
	}
	a, err := m.assertion(claims)
	if err != nil {
		return nil, &claimError{err}
	}
	id, err := a.identity()
	if err != nil {
		return nil, &claimError{err}
	}
	return id, nil
}

// keysFor returns the keys to try. The parser has seen that the algorithm is
// one of ours; here it gets keys of its own kind or none. missing says why
// the keys of the URL are not among them.
func (m *jwtMethod) keysFor(t *jwt.Token) (_ any, missing, err error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, nil, errCritical
	}
	alg := t.Method.Alg()
	if alg == algHS256 {
		return m.secrets, nil, nil
	}
	keys := m.files.of(alg)
	if m.jwks != nil {
		id, _ := t.Header["kid"].(string)
		fetched, known, err := m.jwks.find(alg, id)
		switch {
		case err != nil:
			missing = err
		case !known:
			missing = errUnknownKey
		}
		if missing != nil && len(keys) == 0 {
			return nil, missing, missing
		}
		keys = append(keys[:len(keys):len(keys)], fetched...)
	}
	set := jwt.VerificationKeySet{Keys: make([]jwt.VerificationKey, len(keys))}
	for i, key := range keys {
		set.Keys[i] = crypto.PublicKey(key)
	}
	return set, missing, nil
}

// claimError is a token that is genuine and says what cannot be.
type claimError struct{ err error }

func (e *claimError) Error() string { return "claims: " + e.err.Error() }

// wordsFor tells a peer what is wrong with its token, in words of ours: the
// library's may repeat parts of the token.
func wordsFor(err error) string {
	var claim *claimError
	switch {
	case errors.As(err, &claim), errors.Is(err, jwt.ErrInvalidType): // exp as a text
		return "a claim of the token is missing or malformed"
	case errors.Is(err, jwt.ErrTokenExpired):
		return "the token has expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "the token is not valid yet"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "the token is for another audience"
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return "the token is of another issuer"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "the token lacks a claim that is required"
	case errors.Is(err, errCritical):
		return errCritical.Error()
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "this is not a JSON Web Token"
	default:
		return "the token's signature, algorithm or key is not accepted"
	}
}

func (m *jwtMethod) assertion(claims jwt.MapClaims) (*assertion, error) {
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return nil, errors.New("exp")
	}
	// A clock that differs by the leeway must not end a session at once.
	a := &assertion{expires: expires.Add(m.cfg.Leeway)}
	for _, c := range []struct {
		claim string
		into  *string
	}{{m.cfg.Principal, &a.principal}, {m.cfg.Tenant, &a.tenant}, {m.cfg.Priority, &a.priority}} {
		if err := textClaim(claims, c.claim, c.into); err != nil {
			return nil, err
		}
	}
	if m.cfg.Tenant != "" && a.tenant == "" {
		return nil, errors.New(m.cfg.Tenant) // without it the names of tenants could be taken
	}
	if a.groups, err = listClaim(claims, m.cfg.Groups); err != nil {
		return nil, err
	}
	for _, c := range []struct {
		claim string
		into  *int
	}{{m.cfg.Messages, &a.limits.Messages}, {m.cfg.Bytes, &a.limits.Bytes}} {
		if err := numberClaim(claims, c.claim, c.into); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func textClaim(claims jwt.MapClaims, name string, into *string) error {
	value, ok := claims[name]
	if !ok || value == nil || name == "" { // null is as good as nothing
		return nil
	}
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("%s is not a string", name)
	}
	*into = text
	return nil
}

// listClaim reads a list of strings, or one string.
func listClaim(claims jwt.MapClaims, name string) ([]string, error) {
	value, ok := claims[name]
	if !ok || value == nil || name == "" { // null is as good as nothing
		return nil, nil
	}
	switch value := value.(type) {
	case string:
		return []string{value}, nil
	case []any:
		list := make([]string, len(value))
		for i, element := range value {
			text, ok := element.(string)
			if !ok {
				return nil, fmt.Errorf("%s has an element that is not a string", name)
			}
			list[i] = text
		}
		return list, nil
	default:
		return nil, fmt.Errorf("%s is not a list of strings", name)
	}
}

func numberClaim(claims jwt.MapClaims, name string, into *int) error {
	value, ok := claims[name]
	if !ok || value == nil || name == "" { // null is as good as nothing
		return nil
	}
	number, ok := value.(json.Number)
	if !ok {
		return fmt.Errorf("%s is not a number", name)
	}
	n, err := number.Int64()
	if err != nil {
		return fmt.Errorf("%s is not a whole number", name)
	}
	*into = int(n)
	return nil
}
