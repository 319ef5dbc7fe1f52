package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/limpet-gateway/limpet/internal/api/client"
	"github.com/limpet-gateway/limpet/registry/redisdir"
	"github.com/spf13/cobra"
)

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
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	r, err := redisdir.Open(ctx, f.redis)
	if err != nil {
		return err
	}
	defer r.Close()
	return use(ctx, r)
}

func newWhereCommand() *cobra.Command {
	var (
		directory  directoryFlags
		api, token string
	)
	cmd := &cobra.Command{
		Use:   "where PRINCIPAL",
		Short: "Say on which node a principal is connected",
		Long: `Say on which node a principal is connected: node, session, since when, and the
epoch. It asks the directory in Redis, or without --redis one gateway. The exit
code is 1 when the principal is not connected.`,
		Args: takes(1, 1, "one argument, the principal"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			found := 0
			row := func(node, session string, since time.Time, epoch uint64) {
				if found++; found == 1 {
					fmt.Fprintln(out, "NODE\tSESSION\tSINCE\tEPOCH")
				}
				fmt.Fprintf(out, "%s\t%s\t%s\t%d\n", node, session, since.Format(time.RFC3339), epoch)
			}
			var err error
			if directory.redis != "" {
				if cmd.Flags().Changed("api") {
					return badUsage(errors.New("--api and --redis: name one of them"))
				}
				err = directory.open(cmd, func(ctx context.Context, r *redisdir.Reader) error {
					return r.Lookup(ctx, args, func(_ int, l redisdir.Location) {
						row(l.Node.ID, l.Session.ID.String(), l.Session.Epoch.Time(), uint64(l.Session.Epoch))
					})
				})
			} else {
				err = whereByAPI(cmd.Context(), api, token, args[0], row)
			}
			if err != nil {
				return err
			}
			if err := out.Flush(); err != nil {
				return err
			}
			if found == 0 {
				return fmt.Errorf("%s is not connected", args[0])
			}
			return nil
		},
	}
	directory.add(cmd)
	cmd.Flags().StringVar(&api, "api", client.DefaultAddr, "`ADDR` of a running gateway's API, which is asked without --redis")
	tokenFlag(cmd, &token)
	return cmd
}
