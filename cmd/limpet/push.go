package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/client"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/spf13/cobra"
)

// maxPushBytes bounds what is read from standard input.
const maxPushBytes = 8 << 20

// gatewayFlags are those with which a command finds Kafka.
type gatewayFlags struct {
	api, kafka, prefix, token string
}

func (f *gatewayFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.api, "api", client.DefaultAPI, "`ADDR` of a running gateway's API, which says where its Kafka is")
	flags.StringVar(&f.token, "api-token", "", "bearer `TOKEN` of the API")
	flags.StringVar(&f.kafka, "kafka", "", "Kafka brokers `HOST:PORT,...`, instead of asking a gateway")
	flags.StringVar(&f.prefix, "topic-prefix", bridge.DefaultTopicPrefix, "what the topics' names begin with, with --kafka")
}

// find returns the brokers and topics that the flags of cmd name.
func (f *gatewayFlags) find(ctx context.Context, cmd *cobra.Command) ([]string, bridge.Topics, error) {
	if f.kafka != "" {
		if cmd.Flags().Changed("api") {
			return nil, bridge.Topics{}, badUsage(errors.New("--api and --kafka: name one of them"))
		}
		return strings.Split(f.kafka, ","), bridge.NewTopics(f.prefix), nil
	}
	info, err := client.Discover(ctx, f.api, f.token)
	switch {
	case errors.Is(err, client.ErrNoGateway):
		return nil, bridge.Topics{}, fmt.Errorf("%w: start one with \"limpet serve\", name its API with --api, or name the brokers with --kafka", err)
	case errors.Is(err, client.ErrNoKafka):
		return nil, bridge.Topics{}, fmt.Errorf("%w: start it with --uplink kafka", err)
	case err != nil:
		return nil, bridge.Topics{}, err
	}
	return info.Kafka, info.Topics(), nil
}

func newPushCommand() *cobra.Command {
	var (
		gateway                      gatewayFlags
		to, opcode, priority, pushID string
		ttl                          time.Duration
	)
	cmd := &cobra.Command{
		Use:   "push --to TARGET [DATA]",
		Short: "Send a message to sessions, wherever they are connected",
		Long: `Send a message to sessions, wherever they are connected. Without DATA it is
read from standard input. TARGET is user:NAME, session:ID, group:NAME or all.`,
		Example: `  limpet push --to user:dev1 hello
  limpet push --to all --priority low < notice.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
				return badUsage(fmt.Errorf("push takes one argument, the data: quote what has spaces"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := pushOf(to, opcode, priority, pushID, ttl)
			if err != nil {
				return badUsage(err)
			}
			if len(args) == 1 {
				p.Payload = []byte(args[0])
			} else if p.Payload, err = readBounded(cmd.InOrStdin()); err != nil {
				return err
			}
			brokers, topics, err := gateway.find(cmd.Context(), cmd)
			if err != nil {
				return err
			}
			if ttl > 0 {
				p.Expires = time.Now().Add(ttl)
			}
			at, err := client.Push(cmd.Context(), brokers, topics, p)
			if errors.Is(err, client.ErrNotText) {
				return badUsage(fmt.Errorf("%w: send it with --opcode binary", err))
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "pushed %d bytes to %s (%s, partition %d, offset %d)\n",
				len(p.Payload), p.To, at.Topic, at.Partition, at.Offset)
			return err
		},
	}
	gateway.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&to, "to", "", "`TARGET`: user:NAME, session:ID, group:NAME or all")
	flags.StringVar(&opcode, "opcode", "text", "text or binary")
	flags.StringVar(&priority, "priority", "high", "high, medium or low: what happens when there is no room for it")
	flags.DurationVar(&ttl, "ttl", 0, "how long the message is worth delivering; 0 means for ever")
	flags.StringVar(&pushID, "id", "", "`ID` of the message: a second one with the same id is not delivered again")
	return cmd
}

// pushOf reads the flags, and reports every fault at once.
func pushOf(to, opcode, priority, id string, ttl time.Duration) (*bridge.Push, error) {
	p := &bridge.Push{ID: id}
	var faults [5]error
	if p.To, faults[0] = bridge.ParseTarget(to); faults[0] != nil {
		faults[0] = fmt.Errorf("--to: %w", faults[0])
	}
	if p.Opcode, faults[1] = session.ParseOpcode(opcode); faults[1] != nil {
		faults[1] = fmt.Errorf("--opcode: %w", faults[1])
	}
	if p.Priority, faults[2] = session.ParsePriority(priority); faults[2] != nil {
		faults[2] = fmt.Errorf("--priority: %w", faults[2])
	}
	if len(id) > bridge.MaxID {
		faults[3] = fmt.Errorf("--id: %d bytes: want at most %d", len(id), bridge.MaxID)
	}
	if ttl < 0 || ttl > 0 && ttl < time.Millisecond {
		faults[4] = fmt.Errorf("--ttl: %v: want 0 or at least 1ms", ttl)
	}
	return p, errors.Join(faults[:]...)
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxPushBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(data) > maxPushBytes {
		return nil, fmt.Errorf("read standard input: more than %d bytes", maxPushBytes)
	}
	return data, nil
}
