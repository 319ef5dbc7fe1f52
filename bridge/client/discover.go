package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
)

// DefaultAPI is where a gateway's API listens unless configured otherwise.
const DefaultAPI = "127.0.0.1:8081"

const (
	discoverTimeout = 5 * time.Second
	maxInfoBytes    = 64 << 10
)

// Info is what GET /v1/info says about a running gateway.
type Info struct {
	Node        string   `json:"node"`
	Version     string   `json:"version"`
	Kafka       []string `json:"kafka"` // empty when the gateway runs without
	TopicPrefix string   `json:"topic_prefix"`
}

// Topics names the gateway's topics.
func (i Info) Topics() bridge.Topics {
	if i.TopicPrefix == "" {
		return bridge.NewTopics(bridge.DefaultTopicPrefix)
	}
	return bridge.NewTopics(i.TopicPrefix)
}

// Errors of Discover that a caller can advise on.
var (
	ErrNoGateway = errors.New("no gateway answers there")
	ErrNoKafka   = errors.New("the gateway runs without Kafka")
	ErrToken     = errors.New("the gateway asks for its token")
)

// Discover asks the gateway whose API is at addr, host:port, for its brokers.
// token is the API's bearer token, or empty. It fails with ErrNoGateway,
// ErrNoKafka or ErrToken.
func Discover(ctx context.Context, addr, token string) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	url := "http://" + addr + "/v1/info"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return Info{}, fmt.Errorf("API address %q: want host:port", addr)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, context.DeadlineExceeded):
		return Info{}, fmt.Errorf("%s: %w", addr, ErrNoGateway)
	case err != nil:
		return Info{}, fmt.Errorf("ask the gateway: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusUnauthorized {
		return Info{}, fmt.Errorf("%s: %w", addr, ErrToken)
	}
	if response.StatusCode != http.StatusOK {
		return Info{}, fmt.Errorf("ask the gateway: %s says %s", url, response.Status)
	}
	var info Info
	if err := json.NewDecoder(io.LimitReader(response.Body, maxInfoBytes)).Decode(&info); err != nil {
		return Info{}, fmt.Errorf("ask the gateway: %s: not the answer of a limpet gateway: %w", url, err)
	}
	if len(info.Kafka) == 0 {
		return info, fmt.Errorf("%s: %w", addr, ErrNoKafka)
	}
	return info, nil
}
