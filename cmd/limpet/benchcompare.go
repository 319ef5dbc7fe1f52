package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limpet-gateway/limpet/bench/report"
)

func newBenchCompareCommand() *cobra.Command {
	most := "5%"
	cmd := &cobra.Command{
		Use:   "compare BEFORE.json AFTER.json",
		Short: "Compare two results, and fail when a figure got worse",
		Long: `Compare two results of one scenario, server by server and figure by figure, and
print ratios. The exit code is 1 when a figure got worse by more than
--max-regression and the confidence intervals, where there are any, do not
explain it: for use in CI.`,
		Example: "  limpet bench compare main.json branch.json --max-regression 5%",
		Args:    takes(2, 2, "two arguments, the results before and after"),
		RunE: func(cmd *cobra.Command, args []string) error {
			share, err := parseShare(most)
			if err != nil {
				return badUsage(fmt.Errorf("--max-regression: %w", err))
			}
			before, errBefore := report.Read(args[0])
			after, errAfter := report.Read(args[1])
			if err := errors.Join(errBefore, errAfter); err != nil {
				return badUsage(err)
			}
			changes, err := report.Compare(before, after)
			if err != nil {
				return err
			}
			return report.WriteChanges(cmd.OutOrStdout(), before, after, changes, share)
		},
	}
	cmd.Flags().StringVar(&most, "max-regression", most, "`SHARE` by which a figure may get worse: 5% or 0.05")
	return cmd
}

// parseShare reads 5% or 0.05.
func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 10) {
		return 0, fmt.Errorf("%q: want a share such as 5%% or 0.05", text)
	}
	return v, nil
}
