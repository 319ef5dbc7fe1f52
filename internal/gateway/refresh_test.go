package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/auth"
)

// oracle decides by the token itself.
type oracle func(token string) *auth.Decision

func (o oracle) Check(_ context.Context, r *auth.Request) *auth.Decision { return o(r.Token) }

// A newer token prolongs the sessions of its own principal and no other's; one
// that is not accepted prolongs none.
func TestRefresh(t *testing.T) {
	now := time.Now()
	g, url := start(t, Echo)
	older, other := dial(t, url+"?id=dev1"), dial(t, url+"?id=dev2")
	router, err := bridge.NewRouter(bridge.RouterConfig{Incarnation: 7, Local: g, Controller: g})
	if err != nil {
		t.Fatal(err)
	}
	yes := func(name string, expires time.Time) *auth.Decision {
		return &auth.Decision{Identity: &auth.Identity{Principal: name, Expires: expires}}
	}
	node := NewNode(NodeConfig{Gateway: g, Router: router, Incarnation: 7, Auth: oracle(func(token string) *auth.Decision {
		switch token {
		case "long":
			return yes("dev1", now.Add(time.Hour))
		case "short":
			return yes("dev2", now.Add(-time.Second))
		case "for ever":
			return yes("dev1", time.Time{})
		case "nobody":
			return yes("nobody", now.Add(time.Hour))
		case "fail-open":
			return yes("", time.Time{})
		case "down":
			return &auth.Decision{Denial: &auth.Denial{Status: 503, Reason: "down"}}
		}
		return &auth.Decision{Denial: &auth.Denial{Status: 401, Reason: "bad"}}
	})})
	for token, available := range map[string]bool{"bad": true, "down": false, "fail-open": false} {
		var denied *api.Denied
		if _, err := node.Refresh(t.Context(), token); !errors.As(err, &denied) || denied.Available != available {
			t.Errorf("%s: %v, want it denied, available %v", token, err, available)
		}
	}
	if r, err := node.Refresh(t.Context(), "nobody"); err != nil || r.Result != "offline" {
		t.Errorf("a principal without session: %+v, %v", r, err)
	}
	if r, err := node.Refresh(t.Context(), "for ever"); err != nil || r.Expires != nil || r.Delivered != 1 {
		t.Errorf("a token without an end: %+v, %v", r, err)
	}
	if r, err := node.Refresh(t.Context(), "long"); err != nil || r.Principal != "dev1" || !r.Expires.Equal(now.Add(time.Hour)) || r.Delivered != 1 {
		t.Errorf("a newer token: %+v, %v", r, err)
	}
	// What has expired by the time that it takes effect ends the session, and
	// that of nobody else.
	if r, err := node.Refresh(t.Context(), "short"); err != nil || r.Delivered != 1 {
		t.Errorf("a token about to expire: %+v, %v", r, err)
	}
	if _, _, err := other.ReadMessage(); !websocket.IsCloseError(err, 4003) {
		t.Errorf("dev2 saw %v, want 4003", err)
	}
	if err := older.WriteMessage(websocket.TextMessage, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	expect(t, older, "still here")

	if _, err := NewNode(NodeConfig{Gateway: g, Router: router}).Refresh(t.Context(), "long"); !errors.Is(err, api.ErrConflict) {
		t.Errorf("where nobody authenticates: %v, want a conflict", err)
	}
}

// stuck is a bus that takes nothing, as over a Kafka that is away.
type stuck struct{}

func (stuck) Forward(context.Context, uint64, *bridge.Push, func(error)) {}
func (stuck) Broadcast(context.Context, *bridge.Push, func(error))       {}

// No request waits for other nodes without an end, a refresh as little as a push.
func TestRefreshDoesNotWaitForEver(t *testing.T) {
	t.Parallel() // it waits for routeTimeout
	g, _ := start(t, Echo)
	router, err := bridge.NewRouter(bridge.RouterConfig{Incarnation: 7, Local: g, Controller: g, Bus: stuck{}})
	if err != nil {
		t.Fatal(err)
	}
	node := NewNode(NodeConfig{Gateway: g, Router: router, Incarnation: 7, Auth: oracle(func(string) *auth.Decision {
		return &auth.Decision{Identity: &auth.Identity{Principal: "dev1"}}
	})})
	ctx, cancel := context.WithTimeout(t.Context(), 2*routeTimeout)
	defer cancel()
	if _, err := node.Refresh(ctx, "token"); !errors.Is(err, errNotTaken) || ctx.Err() != nil {
		t.Errorf("%v, want errNotTaken within %v", err, routeTimeout)
	}
}
