package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/limpet-gateway/limpet/internal/session"
)

// WebhookConfig says whom to ask, and how much.
type WebhookConfig struct {
	URL         string
	Timeout     time.Duration // of one call; 0 is 2 s
	Concurrency int           // calls at a time; 0 is 64
	Remember    time.Duration // how long a no is remembered; 0 is not at all
	FailOpen    bool          // lets peers in, with low priority and a random name, while the webhook does not answer
}

const (
	defaultWebhookTimeout     = 2 * time.Second
	defaultWebhookConcurrency = 64
	webhookMaxAnswer          = 64 << 10
	breakerFailures           = 5               // in a row, that open the circuit breaker
	breakerOpen               = 5 * time.Second // until it lets one call through again
	rememberedDenials         = 8192
)

// webhookMethod asks a service of somebody else's by POST, with the facts of
// the handshake as JSON. 200 with an identity is a yes, 401 and 403 are a no;
// anything else, and silence, is a failure.
type webhookMethod struct {
	cfg     WebhookConfig
	client  *http.Client
	breaker *gobreaker.CircuitBreaker[webhookAnswer]
	denials *recent
	health  *health
	last    atomic.Pointer[string] // what the last call that failed failed by
}

// webhookQuestion is the body of a call.
type webhookQuestion struct {
	Token string `json:"token,omitempty"`
	Facts
}

// webhookAnswer is the body of a yes.
type webhookAnswer struct {
	Principal string   `json:"principal"`
	Tenant    string   `json:"tenant"`
	Groups    []string `json:"groups"`
	Priority  string   `json:"priority"`
	Expires   int64    `json:"expires"` // seconds since 1970; 0 is never
	Messages  int      `json:"rate_messages"`
	Bytes     int      `json:"rate_bytes"`

	denied int // status of a no
}

func newWebhook(cfg WebhookConfig, log *slog.Logger) (*webhookMethod, error) {
	if cfg.URL == "" {
		return nil, errors.New("the webhook needs a URL")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultWebhookTimeout
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = defaultWebhookConcurrency
	}
	m := &webhookMethod{
		cfg:     cfg,
		client:  boundedClient(cfg.Timeout, cfg.Concurrency),
		denials: newRecent(rememberedDenials/2, cfg.Remember),
		health:  newHealth("webhook", log),
	}
	m.breaker = gobreaker.NewCircuitBreaker[webhookAnswer](gobreaker.Settings{
		Name:        "webhook",
		Timeout:     breakerOpen,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to { // half-open is a question, not an answer
			case gobreaker.StateOpen:
				m.health.set(m.failing())
			case gobreaker.StateClosed:
				m.health.set("")
			}
		},
	})
	return m, nil
}

// failing says why the webhook is left alone.
func (m *webhookMethod) failing() string {
	then := "clients that need it get 503"
	if m.cfg.FailOpen {
		then = "clients get in under random names"
	}
	text := "the webhook fails, and " + then
	if last := m.last.Load(); last != nil {
		text += ": " + *last
	}
	return text
}

func (m *webhookMethod) state() *health { return m.health }

func (m *webhookMethod) run(ctx context.Context) {
	<-ctx.Done()
	m.client.CloseIdleConnections()
}

// check implements method. It blocks for up to the timeout.
func (m *webhookMethod) check(ctx context.Context, r *Request) (*Identity, *Denial) {
	question, err := json.Marshal(webhookQuestion{r.Token, r.Facts})
	if err != nil {
		panic(err) // strings can always be JSON
	}
	// All that the webhook decides by is in the question, so the same
	// question within a short time has the same answer.
	key := sha256.Sum256(question)
	if status, ok := m.denials.get(key); ok {
		return nil, webhookDenial(status)
	}
	answer, err := m.breaker.Execute(func() (webhookAnswer, error) {
		answer, err := m.ask(ctx, question)
		if err != nil {
			text := err.Error()
			m.last.Store(&text)
		}
		return answer, err
	})
	switch {
	case err != nil && m.cfg.FailOpen:
		low := session.Low
		return &Identity{Priority: &low}, nil
	case err != nil:
		denial := &Denial{Status: 503, Reason: "authentication is not available at the moment", RetryAfter: breakerOpen}
		if last := m.last.Load(); last != nil {
			denial.detail = *last
		}
		return nil, denial
	case answer.denied != 0:
		m.denials.put(key, answer.denied)
		return nil, webhookDenial(answer.denied)
	}
	a := assertion{principal: answer.Principal, tenant: answer.Tenant, groups: answer.Groups, priority: answer.Priority,
		limits: Limits{answer.Messages, answer.Bytes}}
	if answer.Expires != 0 {
		a.expires = time.Unix(answer.Expires, 0)
	}
	id, err := a.identity()
	if err == nil && !a.expires.IsZero() && !a.expires.After(time.Now()) {
		err = errors.New("it has expired")
	}
	if err != nil {
		return nil, &Denial{Status: 503, Reason: "authentication gave an answer that cannot be used", RetryAfter: breakerOpen, detail: err.Error()}
	}
	return id, nil
}

func webhookDenial(status int) *Denial {
	if status == http.StatusForbidden {
		return &Denial{Status: status, Reason: "this is not allowed"}
	}
	return &Denial{Status: http.StatusUnauthorized, Reason: "the credentials are missing or not accepted"}
}

// ask makes one call. A no is an answer, not an error: it must not open the
// breaker, or anybody could with a bad token.
func (m *webhookMethod) ask(ctx context.Context, question []byte) (webhookAnswer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.cfg.URL, bytes.NewReader(question))
	if err != nil {
		return webhookAnswer{}, withoutURL(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := m.client.Do(request)
	if err != nil {
		return webhookAnswer{}, withoutURL(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, webhookMaxAnswer+1))
	switch {
	case err != nil:
		return webhookAnswer{}, withoutURL(err)
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		return webhookAnswer{denied: response.StatusCode}, nil
	case response.StatusCode != http.StatusOK:
		return webhookAnswer{}, fmt.Errorf("status %d", response.StatusCode)
	case len(body) > webhookMaxAnswer:
		return webhookAnswer{}, fmt.Errorf("the answer is larger than %d bytes", webhookMaxAnswer)
	}
	var answer webhookAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return webhookAnswer{}, errors.New("the answer is not the JSON that is asked for")
	}
	if answer.Principal == "" {
		return webhookAnswer{}, errors.New("the answer names no principal")
	}
	return answer, nil
}
