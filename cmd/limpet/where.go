package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/limpet-gateway/limpet/internal/api"
	"github.com/limpet-gateway/limpet/internal/api/client"
	"github.com/limpet-gateway/limpet/registry/redisdir"
)

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
