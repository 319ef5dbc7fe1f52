package main

import (
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/limpet-gateway/limpet/bridge/client"
	"github.com/spf13/cobra"
)

func newTailCommand() *cobra.Command {
	var (
		gateway kafkaFlags
		options client.TailOptions
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print what sessions send, as it arrives in Kafka",
		Long: `Print what sessions send, as it arrives in Kafka: time, principal, opcode and
payload. Binary payloads are shown in hexadecimal. It ends with Ctrl-C.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if options.Limit < 0 {
				return badUsage(fmt.Errorf("--limit: %d: want 0 or more", options.Limit))
			}
			if err := gateway.check(cmd); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			var err error
			if options.Brokers, options.Topics, err = gateway.find(ctx); err != nil {
				return err
			}
			options.Ready = func() {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "tailing %s on %s\n", options.Topics.Uplink, strings.Join(options.Brokers, ","))
			}
			options.Away = func(err error) {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "a broker of Kafka does not answer, waiting for it: %v\n", err)
			}
			var line []byte
			return client.Tail(ctx, options, func(m *client.Message) error {
				line = m.AppendLine(line[:0])
				if asJSON {
					if line, err = m.AppendJSON(line[:0]); err != nil {
						return err
					}
				}
				_, err := cmd.OutOrStdout().Write(line)
				return err
			})
		},
	}
	gateway.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "print one JSON object per line")
	flags.BoolVar(&options.FromBeginning, "from-beginning", false, "begin with the oldest message that Kafka has")
	flags.StringVar(&options.Principal, "principal", "", "only messages of principal `NAME`")
	flags.IntVarP(&options.Limit, "limit", "n", 0, "end after `N` messages; 0 means never")
	return cmd
}
