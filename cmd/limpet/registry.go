package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/limpet-gateway/limpet/internal/api/client"
	"github.com/limpet-gateway/limpet/internal/listing"
	"github.com/limpet-gateway/limpet/registry/redisdir"
	"github.com/spf13/cobra"
)

// How often the checker looks before it believes that something is wrong: a
// change is in the directory within milliseconds, and a dead node is cleared
// up after within seconds.
const (
	checkRounds = 4
	checkApart  = time.Second
	// shownDisagreements bounds what is printed; the rest is counted.
	shownDisagreements = 100
)

func newRegistryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Look after the directory that nodes share",
	}
	cmd.AddCommand(newRegistryCheckCommand())
	onlyGroups(cmd)
	return cmd
}

func newRegistryCheckCommand() *cobra.Command {
	var (
		directory directoryFlags
		apis      []string
		token     string
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare the directory with the tables of the nodes",
		Long: `Compare the directory in Redis with the table of each live node, which is read
through the API that the node itself has named, or that --api names. What is
wrong four times in four seconds is printed, and the exit code is 1.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			named, err := namedAPIs(apis)
			if err != nil {
				return badUsage(err)
			}
			return directory.open(cmd, func(ctx context.Context, r *redisdir.Reader) error {
				nodes, err := r.Nodes(ctx)
				if err != nil {
					return err
				}
				tables, sessions := tablesOf(nodes, named, token)
				wrong, err := redisdir.Check(ctx, r, tables, checkRounds, checkApart)
				if err != nil {
					return err
				}
				if len(wrong) > 0 {
					printDisagreements(cmd.OutOrStdout(), wrong)
					return fmt.Errorf("%d disagreements between the directory and the nodes", len(wrong))
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "the directory agrees with %d nodes (about %d sessions)\n", len(tables), sessions)
				return err
			})
		},
	}
	directory.add(cmd)
	cmd.Flags().StringArrayVar(&apis, "api", nil, "API of a node as `NODE=HOST:PORT`, where the one that it names cannot be reached from here")
	tokenFlag(cmd, &token)
	return cmd
}

// namedAPIs reads NODE=HOST:PORT.
func namedAPIs(texts []string) (map[string]string, error) {
	named := map[string]string{}
	for _, text := range texts {
		node, addr, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--api %q: want NODE=HOST:PORT", text)
		}
		named[node] = addr
	}
	return named, nil
}

// tablesOf says how the tables of live nodes are read, at the API that was named
// for a node or that it names itself, and how many sessions they had last.
func tablesOf(nodes []redisdir.Node, named map[string]string, token string) (tables map[string]redisdir.NodeTable, sessions int) {
	tables = map[string]redisdir.NodeTable{}
	for _, n := range nodes {
		if !n.Alive {
			continue
		}
		addr := n.API
		if given, ok := named[n.ID]; ok {
			addr = given
		}
		if addr != "" {
			tables[n.ID] = listing.Remote{API: client.API{Addr: addr, Token: token}}
		}
		sessions += n.Sessions
	}
	return tables, sessions
}

func printDisagreements(out io.Writer, wrong []redisdir.Disagreement) {
	for i, d := range wrong {
		if i == shownDisagreements {
			fmt.Fprintf(out, "and %d more\n", len(wrong)-i)
			return
		}
		fmt.Fprintln(out, d)
	}
}
