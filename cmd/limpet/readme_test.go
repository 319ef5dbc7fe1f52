package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/session"
)

var update = flag.Bool("update", false, "renew the tables in README.md that are made from code")

// closeReasons is the table of the reasons that come with a close frame.
func closeReasons() string {
	advice := map[session.Advice]string{
		session.RetryNever: "do not come back the same way",
		session.RetryNow:   "come back at once",
		session.RetryLater: "come back after a pause with jitter",
	}
	var b strings.Builder
	b.WriteString("| code | reason | then |\n|---|---|---|\n")
	reasons := session.Reasons()
	slices.SortStableFunc(reasons, func(a, b session.CloseReason) int { return int(a.Code()) - int(b.Code()) })
	for _, r := range reasons {
		if r.Code() != 0 {
			fmt.Fprintf(&b, "| %d | `%s` | %s |\n", r.Code(), r, advice[r.Advice()])
		}
	}
	return b.String()
}

// The tables in README.md that are made from code say what the code says.
// `make docs` renews them.
func TestReadmeTables(t *testing.T) {
	const name = "../../README.md"
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	readme := string(data)
	for table, want := range map[string]string{
		"configuration": config.Markdown(),
		"close reasons": closeReasons(),
	} {
		begin, end := "<!-- "+table+": begin -->\n", "<!-- "+table+": end -->\n"
		before, rest, ok := strings.Cut(readme, begin)
		got, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s lacks the marks %q and %q", name, begin, end)
		}
		if *update {
			readme = before + begin + want + end + after
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the table %q of README.md is not up to date, run make docs (-want +got):\n%s", table, diff)
		}
	}
	if *update {
		if err := os.WriteFile(name, []byte(readme), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
