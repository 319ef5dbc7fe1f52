package auth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// Identity is who a peer is, and what it may do.
type Identity struct {
	Principal string            // passed session.CheckName; "" for somebody unknown, let in all the same
	Groups    []string          // to join; each passed session.CheckName
	Priority  *session.Priority // of its messages; nil is the node's own
	Expires   time.Time         // when the session ends; zero for never
	Limits    Limits
}

// Limits of one session beyond those of the node. Zero is the node's own.
type Limits struct {
	Messages int // a second
	Bytes    int // of payload, a second
}

// Denial is why a peer is not let in, in the terms of HTTP.
type Denial struct {
	Status     int    // 401, 403 or 503
	Reason     string // for the peer; holds nothing that it sent
	RetryAfter time.Duration

	detail string // more of why, for the log; of what the peer sent it holds one character at most; "" if there is no more
}

func (d *Denial) Error() string {
	return fmt.Sprintf("%d %s: %s", d.Status, http.StatusText(d.Status), d.Reason)
}

// Decision is the answer to one Request: one of the first two is set.
type Decision struct {
	Identity *Identity
	Denial   *Denial
	Tag      any // that of the request
}

// Request is one handshake that waits for a decision.
type Request struct {
	ID       session.ID // what the session will be called
	Deadline time.Time  // nobody waits for the answer any longer: it is 503, unchecked
	Token    string     // "" if the request carried none
	Facts    Facts      // for a webhook; may be empty without one
	Tag      any        // comes back with the decision

	denied *Denial // by the methods tried so far
}

// Facts are what a webhook is told of a handshake.
type Facts struct {
	Node      string `json:"node"`
	Remote    string `json:"remote"` // IP address of the client
	Host      string `json:"host"`
	Path      string `json:"path"`
	Query     string `json:"query,omitempty"` // raw, without the token
	Origin    string `json:"origin,omitempty"`
	Cookie    string `json:"cookie,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

// Limits of an identity, whoever asserts it.
const (
	maxGroups = 64
	maxRate   = 1 << 30
)

// latestExpiry is what any later one becomes. Expiries are told and sent on in
// forms that end with the year 9999 (RFC 3339, bridge.HeaderUntil).
var latestExpiry = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// assertion is what a token or a webhook says of a peer, not yet checked.
type assertion struct {
	principal string
	tenant    string // a namespace: put before the names of principal and groups
	groups    []string
	priority  string
	expires   time.Time
	limits    Limits
}

// identity checks a and makes an Identity of it.
func (a *assertion) identity() (*Identity, error) {
	id := &Identity{Expires: a.expires, Limits: a.limits}
	if id.Expires.After(latestExpiry) {
		id.Expires = latestExpiry
	}
	prefix := ""
	if a.tenant != "" {
		// With a slash in it, tenant a/b and principal c would be the
		// same name as tenant a and principal b/c.
		if strings.ContainsRune(a.tenant, '/') || session.CheckName(a.tenant) != "" {
			return nil, fmt.Errorf("the tenant is not made of letters, digits and -._~:@+=")
		}
		prefix = a.tenant + "/"
	}
	name := func(text string) (string, error) {
		if text == "" {
			return "", fmt.Errorf("a name is empty")
		}
		if fault := session.CheckName(prefix + text); fault != "" {
			return "", fmt.Errorf("%s", fault)
		}
		return prefix + text, nil
	}
	var err error
	if id.Principal, err = name(a.principal); err != nil {
		return nil, fmt.Errorf("principal: %w", err)
	}
	if len(a.groups) > maxGroups {
		return nil, fmt.Errorf("%d groups, at most %d are allowed", len(a.groups), maxGroups)
	}
	for _, group := range a.groups {
		full, err := name(group)
		if err != nil {
			return nil, fmt.Errorf("group: %w", err)
		}
		if !slices.Contains(id.Groups, full) {
			id.Groups = append(id.Groups, full)
		}
	}
	if a.priority != "" {
		p, err := session.ParsePriority(a.priority)
		if err != nil {
			return nil, errors.New("priority is none of low, medium, high")
		}
		id.Priority = &p
	}
	for _, n := range []int{a.limits.Messages, a.limits.Bytes} {
		if n < 0 || n > maxRate {
			return nil, fmt.Errorf("a rate is not between 0 and %d", maxRate)
		}
	}
	return id, nil
}
