package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/limpet-gateway/limpet/internal/api"
)

// askTimeout bounds a question to a gateway's API.
const askTimeout = 10 * time.Second

// whereByAPI asks one gateway, which asks the directory if it has one.
func whereByAPI(ctx context.Context, addr, token, principal string, row func(node, session string, since time.Time, epoch uint64)) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v1/users/"+url.PathEscape(principal), nil)
	if err != nil {
		return badUsage(fmt.Errorf("--api: %w", err))
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%w: name a gateway's API with --api, or the directory with --redis", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return nil
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", addr, response.Status)
	}
	var answer struct {
		Sessions []api.Session `json:"sessions"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("answer of %s: %w", addr, err)
	}
	for _, s := range answer.Sessions {
		row(s.Node, s.ID, s.Since, s.Epoch)
	}
	return nil
}
