package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/limpet-gateway/limpet/bridge"
	kafka "github.com/limpet-gateway/limpet/bridge/client"
	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/api/client"
	"github.com/limpet-gateway/limpet/internal/session"
)

// maxPushBytes bounds what is read from standard input.
const maxPushBytes = 8 << 20

// pushFlags say what is sent, and to whom.
type pushFlags struct {
	to                   []string
	opcode, priority, id string
	ttl                  time.Duration
	base64, json         bool
}

func newPushCommand() *cobra.Command {
	var (
		f       pushFlags
		gateway kafkaFlags
	)
	cmd := &cobra.Command{
		Use:   "push --to TARGET [DATA]",
		Short: "Send a message to sessions, wherever they are connected",
		Long: `Send a message to sessions, wherever they are connected. Without DATA it is
read from standard input. TARGET is user:NAME, session:ID, group:NAME or all;
--to may be repeated.

A running gateway is asked through its HTTP API, and its answer printed: how
many sessions have the message on their socket, how many other nodes were given
it, or that nobody is there. With --kafka the message is written to the topic
downlink instead, and printed is where: what becomes of it then is for the
gateways to see.

Exit codes: 0 when every target was reached or the message passed on, 1 when a
target was not, or nothing could be sent, 2 when flags are wrong.`,
		Example: `  limpet push --to user:dev1 hello
  limpet push --to group:fleet --to user:boss --ttl 30s --id order-7 < order.json
  limpet push --to session:0193... --base64 3q2+7w==
  limpet push --to all --priority low --kafka 10.0.0.1:9092 "down at noon"`,
		Args: takes(0, 1, "one argument, the data: quote what has spaces"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := gateway.check(cmd); err != nil {
				return err
			}
			p, targets, err := f.push()
			if err != nil {
				return badUsage(err)
			}
			if p.Payload, err = f.payload(args, cmd.InOrStdin()); err != nil {
				return err
			}
			if p.Opcode == session.Text && !utf8.Valid(p.Payload) {
				return badUsage(fmt.Errorf("%w: send it with --opcode binary", kafka.ErrNotText))
			}
			if gateway.brokers != "" {
				brokers, topics := gateway.named()
				return f.throughKafka(cmd.Context(), brokers, topics, p, targets, cmd.OutOrStdout())
			}
			return f.throughAPI(cmd.Context(), gateway.api, p, cmd.OutOrStdout())
		},
	}
	gateway.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.to, "to", nil, "`TARGET`: user:NAME, session:ID, group:NAME or all")
	flags.StringVar(&f.opcode, "opcode", "", "text or binary; text if missing, binary with --base64")
	flags.StringVar(&f.priority, "priority", "high", "high, medium or low: what happens when there is no room for it")
	flags.DurationVar(&f.ttl, "ttl", 0, "how long the message is worth delivering; 0 means for ever")
	flags.StringVar(&f.id, "id", "", "`ID` of the message: a second one with the same id is not delivered again")
	flags.BoolVar(&f.base64, "base64", false, "the data is base64")
	flags.BoolVar(&f.json, "json", false, "print the answer as JSON")
	return cmd
}

// push reads the flags, and reports every fault at once.
func (f *pushFlags) push() (*bridge.Push, []bridge.Target, error) {
	p := &bridge.Push{ID: f.id, Opcode: session.Text}
	var faults []error
	fault := func(flag string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("--%s: %w", flag, err))
		}
	}
	var targets []bridge.Target
	for _, text := range f.to {
		to, err := bridge.ParseTarget(text)
		fault("to", err)
		targets = append(targets, to)
	}
	switch {
	case len(f.to) == 0:
		fault("to", fmt.Errorf("missing: %w", bridge.ErrBadTarget))
	case len(f.to) > api.MaxTargets:
		fault("to", fmt.Errorf("%d targets: want at most %d", len(f.to), api.MaxTargets))
	case len(f.to) > 1 && slices.Contains(f.to, "all"):
		fault("to", errors.New("all includes every other target: name it alone"))
	}
	var err error
	if f.base64 {
		p.Opcode = session.Binary
	}
	if f.opcode != "" {
		p.Opcode, err = session.ParseOpcode(f.opcode)
		fault("opcode", err)
	}
	p.Priority, err = session.ParsePriority(f.priority)
	fault("priority", err)
	if len(f.id) > bridge.MaxID {
		fault("id", fmt.Errorf("%d bytes: want at most %d", len(f.id), bridge.MaxID))
	}
	if f.ttl < 0 || f.ttl > 0 && f.ttl < time.Millisecond {
		fault("ttl", fmt.Errorf("%v: want 0 or at least 1ms", f.ttl))
	}
	return p, targets, errors.Join(faults...)
}

// payload is the argument, or what standard input has.
func (f *pushFlags) payload(args []string, stdin io.Reader) ([]byte, error) {
	var data []byte
	if len(args) == 1 {
		data = []byte(args[0])
	} else {
		var err error
		if data, err = io.ReadAll(io.LimitReader(stdin, maxPushBytes+1)); err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		if len(data) > maxPushBytes {
			return nil, fmt.Errorf("read standard input: more than %d bytes", maxPushBytes)
		}
	}
	if !f.base64 {
		return data, nil
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), ""))
	if err != nil {
		return nil, badUsage(fmt.Errorf("--base64: %w", err))
	}
	return data, nil
}

// throughAPI asks a gateway, and prints its answer.
func (f *pushFlags) throughAPI(ctx context.Context, gateway *client.API, p *bridge.Push, out io.Writer) error {
	path := "/v1/push"
	body := map[string]any{"opcode": p.Opcode.String(), "priority": p.Priority.String()}
	if f.to[0] == "all" {
		path = "/v1/broadcast"
	} else {
		body["to"] = f.to
	}
	if p.Opcode == session.Text {
		body["data"] = string(p.Payload)
	} else {
		body["data_base64"] = p.Payload // encoding/json writes bytes so
	}
	if f.ttl > 0 {
		body["ttl"] = f.ttl.String()
	}
	if f.id != "" {
		body["id"] = f.id
	}
	var answer struct {
		Targets []api.Pushed `json:"targets"`
	}
	if err := gateway.Post(ctx, path, body, &answer); err != nil {
		return pushRefused(err)
	}
	if f.json {
		if err := printJSON(out, answer); err != nil {
			return err
		}
	}
	var unreached []string
	for _, t := range answer.Targets {
		if !f.json {
			if _, err := fmt.Fprintf(out, "%s: %s\n", t.To, pushedText(t)); err != nil {
				return err
			}
		}
		if !slices.Contains(reachedResults, t.Result) {
			unreached = append(unreached, t.To)
		}
	}
	if len(unreached) > 0 {
		return fmt.Errorf("not reached: %s", strings.Join(unreached, ", "))
	}
	return nil
}

// pushRefused words why a gateway did not take a push. What it finds wrong
// with the request is wrong with the flags.
func pushRefused(err error) error {
	var refusal *client.Refusal
	switch {
	case errors.Is(err, client.ErrNoGateway):
		return fmt.Errorf("%w: start one with \"limpet serve\", name its API with --api, or write to Kafka with --kafka", err)
	case errors.As(err, &refusal) && refusal.Status == http.StatusBadRequest:
		return badUsage(err)
	case errors.As(err, &refusal) && refusal.Status == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: write larger messages to Kafka with --kafka", err)
	}
	return advise(err)
}

// reachedResults are those of a push with which nothing is wrong.
var reachedResults = []string{"delivered", "forwarded", "spread", "duplicate"}

// pushedText says what became of a push for one target.
func pushedText(t api.Pushed) string {
	var parts []string
	part := func(n int, format, one, many string) {
		if n == 1 {
			many = one
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf(format, n, many))
		}
	}
	part(t.Delivered, "delivered to %d %s", "session", "sessions")
	part(t.Forwarded, "forwarded to %d %s", "node", "nodes")
	part(t.Offline, "%d %s gone", "session has", "sessions have")
	part(t.Full, "no room for %d %s", "session", "sessions")
	switch {
	case t.Result == "spread":
		return "sent to all nodes"
	case t.Result == "offline":
		return "offline, nobody is connected"
	case t.Result == "duplicate":
		return "duplicate, a message with this id was delivered before"
	case len(parts) == 0:
		return t.Result
	}
	return strings.Join(parts, ", ")
}

// throughKafka writes to the topic downlink, and prints where.
func (f *pushFlags) throughKafka(ctx context.Context, brokers []string, topics bridge.Topics, p *bridge.Push, targets []bridge.Target, out io.Writer) error {
	for _, p.To = range targets {
		if p.Expires = (time.Time{}); f.ttl > 0 {
			p.Expires = time.Now().Add(f.ttl)
		}
		at, err := kafka.Push(ctx, brokers, topics, p)
		if err != nil {
			return err
		}
		if f.json {
			err = json.NewEncoder(out).Encode(map[string]any{"to": p.To.String(), "topic": at.Topic, "partition": at.Partition, "offset": at.Offset})
		} else {
			_, err = fmt.Fprintf(out, "%s: written to %s, partition %d, offset %d\n", p.To, at.Topic, at.Partition, at.Offset)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
