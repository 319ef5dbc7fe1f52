package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/limpet-gateway/limpet/bridge"
	api "github.com/limpet-gateway/limpet/internal/api/client"
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

// ErrNoKafka says that there are no brokers to be found.
var ErrNoKafka = errors.New("the gateway runs without Kafka")

// Discover asks the gateway whose API is at addr, host:port, for its brokers.
// token is the API's bearer token, or empty. It fails with ErrNoKafka, and as
// the API's client does.
func Discover(ctx context.Context, addr, token string) (Info, error) {
	var info Info
	if err := (api.API{Addr: addr, Token: token}).JSON(ctx, "/v1/info", &info); err != nil {
		return Info{}, err
	}
	if len(info.Kafka) == 0 {
		return info, fmt.Errorf("%s: %w", addr, ErrNoKafka)
	}
	return info, nil
}
