package sysctl

import (
	"fmt"
	"io"
	"strings"
)

// limitsShown is how many limits are listed for people; JSON has all.
const limitsShown = 8

// WriteText prints the parts of the memory, and what binds first.
func (c CapacityReport) WriteText(w io.Writer) error {
	b := &strings.Builder{}
	header := Report{Host: c.Host, Need: c.Need, Plan: c.Plan, Warnings: c.Warnings}
	header.writeHost(b)
	header.writeWarnings(b)

	fmt.Fprintf(b, "\nMemory for %s connections\n", Count(c.Need.Conns))
	for _, item := range c.Estimate.Items {
		lead := fmt.Sprintf("  %-20s %10s  ", item.Name, Bytes(item.Bytes))
		lines := &strings.Builder{}
		wrap(lines, "", strings.Repeat(" ", len(lead)), item.Math)
		b.WriteString(lead + strings.TrimLeft(lines.String(), " "))
	}
	fmt.Fprintf(b, "  %-20s %10s  %s a connection\n", "total", Bytes(c.Estimate.Total), perConnection(c.Estimate))
	fmt.Fprintf(b, "  %-20s %10s  %s\n", "there is", Bytes(c.Memory), c.MemorySource)
	wrap(b, "  ", "", fmt.Sprintf("One message queued to every session at once would take %s more (%s); tcp_mem bounds it.",
		Bytes(c.Estimate.Broadcast), c.Estimate.BroadcastMath))

	fmt.Fprintf(b, "\nConnections that each limit of this host allows, the tightest first\n")
	for i, l := range c.Limits {
		if i == limitsShown || l.Conns == MaxConns {
			break
		}
		mark := "  "
		if i == 0 {
			mark = "->"
		}
		fmt.Fprintf(b, "%s%12s  %-30s %s\n", mark, Count(l.Conns), l.Name, l.Current)
	}
	fmt.Fprintln(b)
	first := c.Limits[0]
	switch {
	case !c.Asked:
		wrap(b, "", "", fmt.Sprintf("This host fits %s connections; %s binds first. Its memory alone holds %s.",
			Count(first.Conns), first.Name, Count(c.FitConns)))
	case c.Fits:
		wrap(b, "", "", fmt.Sprintf("%s connections fit; %s binds first, at %s. Memory holds %s.",
			Count(c.Need.Conns), first.Name, Count(first.Conns), Count(c.FitConns)))
	default:
		wrap(b, "", "", fmt.Sprintf("%s connections DO NOT FIT; %s binds first, at %s. Memory holds %s.",
			Count(c.Need.Conns), first.Name, Count(first.Conns), Count(c.FitConns)))
	}
	if (!c.Asked || !c.Fits) && first.Who != "" {
		wrap(b, "", "To raise it: ", first.Who)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func perConnection(e Estimate) string {
	if e.Conns == 0 {
		return "-"
	}
	return Count(e.Total/e.Conns) + " B"
}
