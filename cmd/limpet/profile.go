package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const maxProfileTime = 2 * time.Minute

// profilePaths are the profiles that can be fetched.
var profilePaths = map[string]string{
	"cpu":       "/debug/pprof/profile?seconds=",
	"heap":      "/debug/pprof/heap?gc=1",
	"goroutine": "/debug/pprof/goroutine?debug=0",
}

func newProfileCommand() *cobra.Command {
	var (
		seconds time.Duration
		output  string
	)
	cmd := &cobra.Command{
		Use:       "profile cpu|heap|goroutine",
		Short:     "Fetch a profile of a running gateway, for go tool pprof",
		ValidArgs: slices.Sorted(maps.Keys(profilePaths)),
		Args:      cobra.MatchAll(takes(1, 1, "one argument: cpu, heap or goroutine"), cobra.OnlyValidArgs),
		Example:   "  limpet profile cpu --time 30s -o cpu.pprof && go tool pprof -top cpu.pprof",
	}
	gateway := apiFlags(cmd)
	cmd.Flags().DurationVar(&seconds, "time", 10*time.Second, "how long CPU is measured")
	cmd.Flags().StringVarP(&output, "output", "o", "", "`FILE` to write, - for standard output; KIND.pprof if missing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if seconds < time.Second || seconds > maxProfileTime {
			return badUsage(fmt.Errorf("--time: %v: want 1s to %v", seconds, maxProfileTime))
		}
		kind, longest := args[0], time.Duration(0)
		path := profilePaths[kind]
		if strings.HasSuffix(path, "=") {
			path += fmt.Sprint(int(seconds.Seconds()))
			longest = seconds
		}
		if output == "-" {
			_, err := gateway.Copy(cmd.Context(), path, longest, cmd.OutOrStdout())
			return advise(err)
		}
		if output == "" {
			output = kind + ".pprof"
		}
		n, err := writeFile(output, func(w io.Writer) (int64, error) {
			return gateway.Copy(cmd.Context(), path, longest, w)
		})
		if err != nil {
			return advise(err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes; go tool pprof -top %s\n", output, n, output)
		return err
	}
	return cmd
}

// writeFile makes a file appear whole or not at all.
func writeFile(name string, write func(io.Writer) (int64, error)) (n int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if n, err = write(f); err != nil {
		return n, errors.Join(err, f.Close())
	}
	if err = f.Close(); err != nil {
		return n, err
	}
	return n, os.Rename(f.Name(), name)
}
