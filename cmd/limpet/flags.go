package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/limpet-gateway/limpet/bridge"
	kafka "github.com/limpet-gateway/limpet/bridge/client"
	"github.com/limpet-gateway/limpet/internal/api/client"
	"github.com/limpet-gateway/limpet/registry/redisdir"
)

// tokenVariable is the environment variable of the API's token, the same for
// the gateway and for the commands that ask it.
const tokenVariable = "LIMPET_API_TOKEN"

// tokenFlag adds --api-token to cmd, which begins as the variable says. The
// help does not show it.
func tokenFlag(cmd *cobra.Command, token *string) {
	const name = "api-token"
	cmd.Flags().StringVar(token, name, os.Getenv(tokenVariable), "bearer `TOKEN` of the API, or the variable "+tokenVariable)
	cmd.Flags().Lookup(name).DefValue = ""
}

// apiFlags are those with which a command finds a running gateway.
func apiFlags(cmd *cobra.Command) *client.API {
	a := new(client.API)
	cmd.Flags().StringVar(&a.Addr, "api", client.DefaultAddr, "`ADDR` of a running gateway's API")
	tokenFlag(cmd, &a.Token)
	return a
}

// advise adds to err what to do about it.
func advise(err error) error {
	var refusal *client.Refusal
	switch {
	case errors.Is(err, client.ErrNoGateway):
		return fmt.Errorf("%w: start one with \"limpet serve\", or name its API with --api", err)
	case errors.As(err, &refusal) && refusal.Status == http.StatusUnauthorized:
		return fmt.Errorf("%w: give the token with --api-token or %s", err, tokenVariable)
	}
	return err
}

// kafkaFlags are those of commands that a gateway or a Kafka can serve.
type kafkaFlags struct {
	api             *client.API
	brokers, prefix string
}

func (f *kafkaFlags) add(cmd *cobra.Command) {
	f.api = apiFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.brokers, "kafka", "", "Kafka brokers `HOST:PORT,...`, instead of asking a gateway")
	flags.StringVar(&f.prefix, "topic-prefix", bridge.DefaultTopicPrefix, "what the topics' names begin with, with --kafka")
}

// check reports flags that exclude each other.
func (f *kafkaFlags) check(cmd *cobra.Command) error {
	if f.brokers != "" && cmd.Flags().Changed("api") {
		return badUsage(errors.New("--api and --kafka: name one of them"))
	}
	return nil
}

// named returns the brokers and topics of --kafka.
func (f *kafkaFlags) named() ([]string, bridge.Topics) {
	return strings.Split(f.brokers, ","), bridge.NewTopics(f.prefix)
}

// find returns the brokers and topics that the flags name, or that a gateway
// does.
func (f *kafkaFlags) find(ctx context.Context) ([]string, bridge.Topics, error) {
	if f.brokers != "" {
		brokers, topics := f.named()
		return brokers, topics, nil
	}
	info, err := kafka.Discover(ctx, f.api.Addr, f.api.Token)
	switch {
	case errors.Is(err, client.ErrNoGateway):
		err = fmt.Errorf("%w: start one with \"limpet serve\", name its API with --api, or name the brokers with --kafka", err)
	case errors.Is(err, kafka.ErrNoKafka):
		err = fmt.Errorf("%w: start it with --uplink kafka", err)
	default:
		err = advise(err)
	}
	return info.Kafka, info.Topics(), err
}

// directoryFlags are those with which a command finds the directory.
type directoryFlags struct{ redis string }

func (f *directoryFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.redis, "redis", "", "`URL` of the Redis that the gateways share, as redis://HOST:PORT")
}

// open connects to the directory, and runs f on it until that ends or a signal
// comes.
func (f *directoryFlags) open(cmd *cobra.Command, use func(context.Context, *redisdir.Reader) error) error {
	if f.redis == "" {
		return badUsage(errors.New("--redis is missing: name the Redis that the gateways share, as redis://127.0.0.1:6379"))
	}
	if !strings.HasPrefix(f.redis, "redis://") && !strings.HasPrefix(f.redis, "rediss://") {
		return badUsage(errors.New("--redis: want redis://HOST:PORT, or rediss:// for TLS")) // what was given may hold a password
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	r, err := redisdir.Open(ctx, f.redis)
	if err != nil {
		return err
	}
	defer r.Close()
	return use(ctx, r)
}
