package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/api/client"
)

// whereByAPI asks one gateway, which asks the directory if it has one.
func whereByAPI(ctx context.Context, addr, token, principal string, row func(node, session string, since time.Time, epoch uint64)) error {
	var answer struct {
		Sessions []api.Session `json:"sessions"`
	}
	err := client.API{Addr: addr, Token: token}.JSON(ctx, "/v1/users/"+url.PathEscape(principal), &answer)
	var refusal *client.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Status == http.StatusNotFound:
		return nil
	case errors.Is(err, client.ErrNoGateway):
		return fmt.Errorf("%w: name a gateway's API with --api, or the directory with --redis", err)
	case err != nil:
		return advise(err)
	}
	for _, s := range answer.Sessions {
		row(s.Node, s.ID, s.Since, s.Epoch)
	}
	return nil
}
