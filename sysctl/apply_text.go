package sysctl

import (
	"fmt"
	"io"
	"strings"
)

// WriteText prints each line with before and after, then what is left to others.
func (r ApplyReport) WriteText(w io.Writer) error {
	b := &strings.Builder{}
	switch {
	case len(r.Changes) == 0 && len(r.Remaining) > 0:
		wrap(b, "", "", "Nothing was written: what falls short is not for apply to change.")
	case len(r.Changes) == 0:
		wrap(b, "", "", fmt.Sprintf("Nothing to write: every kernel setting suffices for %s connections.", Count(r.need.Conns)))
	}
	writeChanges(b, r.Changes)
	if r.RestoreFile != "" {
		b.WriteByte('\n')
		wrap(b, "", "", "limpet sysctl restore sets back the values before, which are in "+r.RestoreFile+".")
		wrap(b, "", "", "limpet sysctl render --format sysctl keeps these settings over a reboot.")
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
		line := fmt.Sprintf("%-11s %-30s %s ", c.Outcome, c.Name, before)
		after := "-> " + c.After
		if len(line)+len(after) > textWidth {
			line = strings.TrimRight(line, " ") + "\n" + strings.Repeat(" ", 12)
		}
		b.WriteString(line + after + "\n")
		if c.Why != "" {
			wrap(b, strings.Repeat(" ", 12), "", c.Why)
		}
	}
}
