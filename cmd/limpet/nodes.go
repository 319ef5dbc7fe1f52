package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/limpet-gateway/limpet/registry/redisdir"
	"github.com/spf13/cobra"
)

func newNodesCommand() *cobra.Command {
	var directory directoryFlags
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes that share a directory",
		Long: `List the nodes that share a directory in Redis: what is left of the lease, how
many sessions the node had when it last renewed it, its incarnation, the
process as it stands in session ids, the partition of the inbox topic that it
leases, and the address of its API. A dead node is listed until another one has
cleared up after it.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return directory.open(cmd, func(ctx context.Context, r *redisdir.Reader) error {
				nodes, err := r.Nodes(ctx)
				if err != nil {
					return err
				}
				out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
				fmt.Fprintln(out, "NODE\tLEASE\tSESSIONS\tINCARNATION\tPROCESS\tINBOX\tAPI")
				for _, n := range nodes {
					lease, sessions, inbox, api := "dead", "-", "-", "-"
					if n.Alive {
						lease, sessions = n.Lease.Round(100*time.Millisecond).String(), fmt.Sprint(n.Sessions)
						if n.Inbox >= 0 {
							inbox = fmt.Sprint(n.Inbox)
						}
						if n.API != "" {
							api = n.API
						}
					}
					fmt.Fprintf(out, "%s\t%s\t%s\t%d\t%016x\t%s\t%s\n", n.ID, lease, sessions, n.Incarnation, n.Process, inbox, api)
				}
				return out.Flush()
			})
		},
	}
	directory.add(cmd)
	return cmd
}
