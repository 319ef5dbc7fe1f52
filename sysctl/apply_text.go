package sysctl

import (
	"fmt"
	"io"
	"strings"
)

// WriteText prints each line with before and after, then what is left to others.
func (r ApplyReport) WriteText(w io.Writer) error {
	b := &strings.Builder{}
	if len(r.Changes) == 0 {
		fmt.Fprintf(b, "Nothing to write: every kernel setting suffices for %s connections.\n", Count(r.need.Conns))
	}
	writeChanges(b, r.Changes)
	if r.RestoreFile != "" {
		fmt.Fprintf(b, "\nThe values before are in %s: limpet sysctl restore sets them back.\n", r.RestoreFile)
		wrap(b, "", "", "A reboot forgets these settings: limpet sysctl render --format sysctl keeps them.")
	}
	if len(r.Remaining) > 0 {
		fmt.Fprintf(b, "\nStill short of %s connections:\n", Count(r.need.Conns))
		for _, row := range r.Remaining {
			wrap(b, "  ", "", row.line())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteText prints each line with before and after.
func (r RestoreReport) WriteText(w io.Writer) error {
	b := &strings.Builder{}
	writeChanges(b, r.Changes)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeChanges(b *strings.Builder, changes []Change) {
	for _, c := range changes {
		before := c.Before
		if before == "" {
			before = "?"
		}
		fmt.Fprintf(b, "%-11s %-30s %s -> %s\n", c.Outcome, c.Name, before, c.After)
		if c.Why != "" {
			wrap(b, strings.Repeat(" ", 12), "", c.Why)
		}
	}
}
