package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/auth"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/reactor"
	"github.com/limpet-gateway/limpet/registry"
	"github.com/limpet-gateway/limpet/wsproto"
)

// Authenticator decides over handshakes away from the loops, and gives the
// decision to Engine.Decide. *auth.Service is one.
type Authenticator interface {
	// Submit takes a request, or returns false when there is no room. It
	// never blocks.
	Submit(*auth.Request) bool
	// NeedsFacts reports whether it reads Request.Facts.
	NeedsFacts() bool
}

// door is what an upgrade request has to pass.
type door struct {
	// Fixed before the engine starts.
	authenticator Authenticator // nil: a peer is who it says it is
	node          string

	timeout atomic.Int64                 // for a decision, in nanoseconds; replaced by a reload
	origins atomic.Pointer[auth.Origins] // the same
}

// SetAuth has a decide who peers are; timeout is that of the engine.
func (g *Gateway) SetAuth(a Authenticator, timeout time.Duration, node string) {
	g.door.authenticator, g.door.node = a, node
	g.SetAuthTimeout(timeout)
}

// SetAuthTimeout replaces the time for a decision, which is that of the engine.
// Any goroutine, also while the engine runs.
func (g *Gateway) SetAuthTimeout(d time.Duration) { g.door.timeout.Store(int64(d)) }

// SetOrigins replaces the web origins whose pages may open sessions. It may be
// called from any goroutine, also while the engine runs.
func (g *Gateway) SetOrigins(o *auth.Origins) { g.door.origins.Store(o) }

// Open implements reactor.Handler.
func (g *Gateway) Open(o *reactor.Opening) *wsproto.Refusal {
	if g.tracer == nil {
		return g.open(o, nil)
	}
	spans := g.followHandshake(o)
	refused := g.open(o, spans)
	if spans != nil {
		g.settle(spans, o, refused)
	}
	return refused
}

// open decides over o. spans is nil where nobody follows the handshake.
func (g *Gateway) open(o *reactor.Opening, spans *handshakeSpans) *wsproto.Refusal {
	if g.door.authenticator == nil {
		return g.openUnchecked(o)
	}
	if decision, ok := o.Verdict.(*auth.Decision); ok {
		if d := decision.Denial; d != nil {
			return refusal(d.Status, d.Reason, d.RetryAfter)
		}
		return g.enter(o, decision.Identity)
	}
	return g.ask(o, spans)
}

// openUnchecked lets a peer in as who it says it is, or as somebody new.
func (g *Gateway) openUnchecked(o *reactor.Opening) *wsproto.Refusal {
	if !g.door.allows(o.Request.Origin, false) {
		return wrongOrigin()
	}
	name, given := o.Request.Query("id")
	if given {
		if fault := session.CheckName(name); fault != "" {
			return wsproto.NewRefusal(400, "id: "+fault)
		}
	}
	return g.enter(o, &auth.Identity{Principal: name})
}

// ask hands the request to the authenticator and puts the decision off.
func (g *Gateway) ask(o *reactor.Opening, spans *handshakeSpans) *wsproto.Refusal {
	r := o.Request
	token, source, err := auth.FindToken(r.Authorization(), r.Offers(), r.Queries(tokenParameter))
	if err != nil {
		return wsproto.NewRefusal(400, err.Error())
	}
	if !g.door.allows(r.Origin, source.Ambient()) {
		return wrongOrigin()
	}
	request := &auth.Request{ID: o.ID, Token: token, Deadline: time.Now().Add(time.Duration(g.door.timeout.Load()))}
	if spans != nil {
		g.authenticating(spans)
		request.Tag = spans
	}
	if g.door.authenticator.NeedsFacts() {
		request.Facts = g.door.facts(o)
	}
	if !g.door.authenticator.Submit(request) {
		return refusal(503, "too many handshakes are waiting", time.Second)
	}
	o.Later = true
	return nil
}

// enter makes the session known under its identity.
func (g *Gateway) enter(o *reactor.Opening, id *auth.Identity) *wsproto.Refusal {
	name := id.Principal
	if name == "" {
		name = randomPrincipal()
	}
	if id.Limits != (auth.Limits{}) && !g.limits.Assign(o.ID, id.Limits.Messages, id.Limits.Bytes) {
		return refusal(503, "too many different rates", tableFullRetry)
	}
	added, err := g.table.Add([]byte(name), o.ID)
	if err != nil {
		return refusal(503, err.Error(), tableFullRetry)
	}
	// Lookups find these no longer, so they must go, also if this one does not stay.
	for _, old := range added.Displaced {
		_ = g.engine.CloseSession(old, session.Displaced) // gone is as good
	}
	for _, group := range id.Groups {
		if err := g.table.Join(added.Ref, []byte(group)); err != nil {
			g.table.Remove(added.Ref)
			if errors.Is(err, registry.ErrTooManyGroups) {
				return wsproto.NewRefusal(403, "the identity is in more groups than a session may be")
			}
			return refusal(503, err.Error(), tableFullRetry)
		}
	}
	if !g.connected(name, o, added.Epoch) {
		g.table.Remove(added.Ref)
		return refusal(503, "no room for the session's event", eventsFullRetry)
	}
	o.Ref, o.Priority, o.Expires = uint32(added.Ref), g.rules.Load().Priority, id.Expires
	if id.Priority != nil {
		o.Priority = *id.Priority
	}
	return nil
}

// tokenParameter is the query parameter of RFC 6750 section 2.3.
const tokenParameter = "access_token"

// allows applies the list of origins. A client that is no browser sends no
// Origin and passes. Without a list every origin passes, except where a
// browser adds by itself what authenticates: then none does.
func (d *door) allows(origin []byte, ambient bool) bool {
	if origin == nil {
		return true
	}
	if list := d.origins.Load(); list != nil && !list.Empty() {
		return list.Allow(origin)
	}
	return !ambient
}

// facts copies what a webhook is told. Cookies that come with a page's request
// are its user's, not the page's: where no list says which pages may use them, a
// page is in by a token of its own, and they are kept from the webhook.
func (d *door) facts(o *reactor.Opening) auth.Facts {
	r := o.Request
	f := auth.Facts{
		Node: d.node, Host: string(r.Host), Path: string(r.Path), Query: withoutToken(string(r.RawQuery)), Origin: string(r.Origin),
		UserAgent: string(r.Header("user-agent")),
	}
	if d.allows(r.Origin, true) {
		f.Cookie = string(r.Header("cookie"))
	}
	if client := o.Remote.Addr(); client.IsValid() {
		f.Remote = client.String()
	}
	return f
}

// withoutToken takes the token out of a raw query, also where its name is
// percent-encoded.
func withoutToken(query string) string {
	if query == "" {
		return ""
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(key); err != nil || name != tokenParameter {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

func wrongOrigin() *wsproto.Refusal {
	return wsproto.NewRefusal(403, "pages of this origin may not open sessions here")
}

func refusal(status int, reason string, retryAfter time.Duration) *wsproto.Refusal {
	r := wsproto.NewRefusal(status, reason)
	r.RetryAfter = retryAfter
	return r
}

// randomPrincipal names a peer that gave no name: 64 random bits.
func randomPrincipal() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return "anon-" + hex.EncodeToString(b[:])
}
