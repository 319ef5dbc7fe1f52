package sysctl

import (
	"fmt"
	"io"
	"strings"
)

// textWidth is the width of everything printed for people: it fits a terminal of
// 80 columns.
const textWidth = 80

// whyIndent is where the reasons below a row begin.
const whyIndent = "         "

// WriteText prints the report as a table: what is not well first, each row with
// its arithmetic and reason below it.
func (r Report) WriteText(w io.Writer) error {
	b := &strings.Builder{}
	r.writeHost(b)
	wrap(b, "", "Memory  ", fmt.Sprintf("%s for %s connections (limpet sysctl capacity shows the parts)", Bytes(r.Estimate.Total), Count(r.Need.Conns)))
	r.writeWarnings(b)
	fmt.Fprintf(b, "\n%-8s %-31s %-25s %s\n", "VERDICT", "SETTING", "CURRENT", "NEEDED")
	for _, group := range [][]Verdict{{Short, Unknown}, {Advised}, {Node}, {OK}, {Gone, Absent}} {
		for _, v := range group {
			for _, row := range r.Rows {
				if row.Verdict == v {
					row.writeText(b)
				}
			}
		}
	}
	r.writeSummary(b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) writeHost(b *strings.Builder) {
	h := r.Host
	where := "no container"
	if h.Container != "" {
		where = "container (" + h.Container + ")"
	}
	netns := "the host's network namespace"
	if !h.InitialNetns {
		netns = "a network namespace of its own"
	}
	group := "no cgroup"
	if h.Cgroup != 0 {
		group = fmt.Sprintf("cgroup v%d", h.Cgroup)
	}
	release := h.Release
	if release == "" {
		release = "of unknown release"
	}
	wrap(b, "", "Host    ", fmt.Sprintf("Linux %s, %s, %s memory (%s available), %s, %s, %s",
		release, plural(h.CPUs, "CPU"), Bytes(h.MemTotal), Bytes(h.MemAvailable), where, netns, group))
	n := r.Need
	wrap(b, "", "Need    ", fmt.Sprintf("%s connections, %s new a second at the worst, %s messages a second of %s B besides heartbeats",
		Count(n.Conns), Count(n.Rate), Count(n.MsgRate), Count(n.MessageBytes)))
	wrap(b, "", "Plan    ", fmt.Sprintf("%s, fd tables %s: RLIMIT_NOFILE %s (%s)",
		plural(r.Plan.Loops, "event loop"), r.Plan.Tables, Count(r.Plan.Descriptors), r.Plan.Math))
}

func (r Report) writeWarnings(b *strings.Builder) {
	for _, warning := range r.Warnings {
		wrap(b, "", "Warning ", "could not read "+warning)
	}
}

func (row Row) writeText(b *strings.Builder) {
	current := row.Current
	if current == "" {
		current = "-"
	} else if len(row.value.Numbers) > 0 {
		current = row.value.format(row.Unit)
	}
	line := fmt.Sprintf("%-8s %-31s %-25s ", row.Verdict, row.Name, current)
	if len(line)+len(row.Needed) > textWidth {
		line = strings.TrimRight(line, " ") + "\n" + whyIndent + "needed "
	}
	b.WriteString(line + row.Needed + "\n")
	if row.Math != "" {
		wrap(b, whyIndent, "= ", row.Math)
	}
	if row.Note != "" {
		wrap(b, whyIndent, "! ", row.Note)
	}
	if row.Verdict == OK || row.Verdict == Absent || row.Verdict == Gone {
		return
	}
	wrap(b, whyIndent, "", row.Reason)
	if row.Who != "" {
		wrap(b, whyIndent, "> ", row.Who)
	}
}

func (r Report) writeSummary(b *strings.Builder) {
	count := map[Verdict]int64{}
	for _, row := range r.Rows {
		count[row.Verdict]++
	}
	text := fmt.Sprintf("This host fits %s connections", Count(r.Need.Conns))
	if !r.Fits {
		text = fmt.Sprintf("This host FALLS SHORT of %s connections: %d short", Count(r.Need.Conns), count[Short])
	}
	for _, part := range []struct {
		v    Verdict
		text string
	}{{Unknown, "not readable"}, {Advised, "advised"}, {Node, "to be checked on the node"}} {
		if count[part.v] > 0 {
			text += fmt.Sprintf(", %d %s", count[part.v], part.text)
		}
	}
	b.WriteByte('\n')
	wrap(b, "", "", text+".")
	if count[Short]+count[Advised] > 0 {
		fmt.Fprintf(b, "Next: limpet sysctl apply --conns %d --dry-run\n", r.Need.Conns)
	}
}

// wrap prints text in lines of textWidth; the first begins with indent and mark,
// the others with as much space.
func wrap(b *strings.Builder, indent, mark, text string) {
	lead := indent + mark
	rest := strings.Repeat(" ", len(lead))
	column := 0
	for _, word := range words(text) {
		switch {
		case column == 0:
			b.WriteString(lead)
			column = len(lead)
		case column+1+len(word) > textWidth:
			b.WriteString("\n" + rest)
			column = len(rest)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}

// words parts text at white space, but keeps a number and its unit together.
func words(text string) []string {
	fields := strings.Fields(text)
	glued := fields[:0]
	for _, f := range fields {
		if n := len(glued); n > 0 && isUnit(f) && strings.ContainsAny(glued[n-1][len(glued[n-1])-1:], "0123456789") {
			glued[n-1] += " " + f
			continue
		}
		glued = append(glued, f)
	}
	return glued
}

func isUnit(word string) bool {
	switch strings.TrimRight(word, ",.;:)") {
	case "B", "KiB", "MiB", "GiB", "TiB", "ms", "s":
		return true
	}
	return false
}
