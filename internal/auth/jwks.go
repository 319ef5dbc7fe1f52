package auth

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
)

// Limits of fetching a key set.
const (
	jwksTimeout  = 5 * time.Second
	jwksMaxBytes = 1 << 20
	jwksRetry    = 10 * time.Second // after a fetch that failed
	jwksRefetch  = 5 * time.Second  // between fetches for key ids that are not known
)

var errNoKeys = errors.New("no key set has been fetched yet")

// jwks is a JSON Web Key Set (RFC 7517) behind a URL. jwkset reads the keys;
// when to fetch, and how much, is decided here: its own client waits for its
// rate limit on the caller's goroutine and reads answers of any size.
type jwks struct {
	// Fixed at construction.
	url    string
	every  time.Duration
	apart  time.Duration // least time between fetches for key ids that are not known
	client *http.Client
	health *health

	set atomic.Pointer[keySet] // nil until the first fetch that succeeds

	// Guarded by mu, which is held while a fetch runs: those who wait for it
	// want the same fetch. Only the slow lane and the refresher take it.
	mu      sync.Mutex
	fetched time.Time // last attempt
}

// keySet is one fetched set; it is not changed.
type keySet struct {
	byID map[string]*publicKeys // each holds one key
	all  publicKeys
}

func newJWKS(rawURL string, every time.Duration, log *slog.Logger) *jwks {
	return &jwks{url: rawURL, every: every, apart: jwksRefetch, health: newHealth("jwt-jwks", log), client: boundedClient(jwksTimeout, 1)}
}

// boundedClient does not follow redirects: what is asked is configured, and
// nobody else decides where a request goes.
func boundedClient(timeout time.Duration, conns int) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = conns, conns
	transport.MaxResponseHeaderBytes = 64 << 10
	return &http.Client{
		Timeout:       timeout,
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// run fetches the set now and then every so often, until ctx is done.
func (j *jwks) run(ctx context.Context) {
	for {
		wait := j.every
		if j.fetch(ctx) != nil {
			wait = min(wait, jwksRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// find returns the keys that may verify a token of this algorithm and key id.
// An id that is not known is not an error here: known is false, and refetch
// may help. It does not block.
func (j *jwks) find(alg, id string) (keys []crypto.PublicKey, known bool, err error) {
	set := j.set.Load()
	if set == nil {
		return nil, false, errNoKeys
	}
	if id == "" {
		return set.all.of(alg), true, nil
	}
	key, ok := set.byID[id]
	if !ok {
		return nil, false, nil
	}
	return key.of(alg), true, nil
}

// refetch fetches the set because a token names a key that is not in it, but
// not more often than every few seconds: key ids can be invented.
func (j *jwks) refetch(ctx context.Context) {
	j.mu.Lock()
	recent := time.Since(j.fetched) < j.apart
	j.mu.Unlock()
	if recent {
		return
	}
	_ = j.fetch(ctx) // health tells
}

// fetch fetches the set, and says in health what became of it.
func (j *jwks) fetch(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fetched = time.Now()
	err := j.fetchSet(ctx)
	switch {
	case err == nil:
		j.health.set("")
	case ctx.Err() != nil: // we are ending
	case j.set.Load() == nil:
		j.health.set("the URL gives no keys, and tokens that need one get 503: " + err.Error())
	default:
		j.health.set("the URL gives no keys, and those from before stay in use: " + err.Error())
	}
	return err
}

func (j *jwks) fetchSet(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url, nil)
	if err != nil {
		return withoutURL(err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := j.client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, jwksMaxBytes+1))
	if err != nil {
		return withoutURL(err)
	}
	if len(body) > jwksMaxBytes {
		return fmt.Errorf("the key set is larger than %d bytes", jwksMaxBytes)
	}
	set, err := parseKeySet(body)
	if err != nil {
		return err
	}
	j.set.Store(set)
	return nil
}

// withoutURL takes the URL out of an error of net/http: it may hold a secret.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// parseKeySet reads the keys that can be used here and leaves out the others,
// as RFC 7517 section 5 says: encryption keys, secrets, unknown kinds.
func parseKeySet(body []byte) (*keySet, error) {
	var raw jwkset.JWKSMarshal
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, errors.New("the answer is not a JSON Web Key Set")
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, at most %d are allowed", len(raw.Keys), maxKeys)
	}
	set := &keySet{byID: map[string]*publicKeys{}}
	for _, marshalled := range raw.Keys {
		if marshalled.USE != "" && marshalled.USE != jwkset.UseSig {
			continue
		}
		key, err := jwkset.NewJWKFromMarshal(marshalled, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue
		}
		one := &publicKeys{}
		if one.add(key.Key()) != nil {
			continue
		}
		if alg := marshalled.ALG.String(); alg != "" && len(one.of(alg)) == 0 {
			continue // meant for an algorithm that is not spoken here
		}
		_ = set.all.add(key.Key()) // it was just accepted
		if marshalled.KID != "" {
			set.byID[marshalled.KID] = one
		}
	}
	if len(set.all.rs256)+len(set.all.es256)+len(set.all.eddsa) == 0 {
		return nil, errors.New("the key set has no key for RS256, ES256 or EdDSA")
	}
	return set, nil
}
