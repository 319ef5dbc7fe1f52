package sysctl

import (
	"fmt"
	"io"
	"strings"
)

// Format is a kind of file that Render writes.
type Format string

const (
	FormatSysctl   Format = "sysctl"   // /etc/sysctl.d/60-limpet.conf
	FormatLimits   Format = "limits"   // /etc/security/limits.d/60-limpet.conf
	FormatSystemd  Format = "systemd"  // drop-in of limpet.service
	FormatDocker   Format = "docker"   // fragment of a compose file
	FormatK8s      Format = "k8s"      // fragment of a pod
	FormatMarkdown Format = "markdown" // the table as documentation, for no host in particular
)

// Formats lists every format, in the order of the help text.
func Formats() []Format {
	return []Format{FormatSysctl, FormatLimits, FormatSystemd, FormatDocker, FormatK8s, FormatMarkdown}
}

// ParseFormat reads a format by name.
func ParseFormat(name string) (Format, error) {
	var known []string
	for _, f := range Formats() {
		if string(f) == name {
			return f, nil
		}
		known = append(known, string(f))
	}
	return "", fmt.Errorf("format must be one of %s, not %q", strings.Join(known, ", "), clip(name))
}

// RenderOptions are beside the need.
type RenderOptions struct {
	Format Format
	// All renders every needed value, also where this host already has more; for
	// files that other hosts will use. Such a file may lower a setting there.
	All bool
	// User is the account of limits.d; "": limpet.
	User string
}

// Render writes a file that makes a host ready. It asks for one descriptor table
// unless per-loop tables are asked for: whoever may edit such files may raise
// RLIMIT_NOFILE. It changes nothing on the host.
func Render(w io.Writer, root Root, in Inputs, o RenderOptions) error {
	if o.User == "" {
		o.User = "limpet"
	}
	b := &strings.Builder{}
	if o.Format == FormatMarkdown {
		writeMarkdown(b)
		_, err := io.WriteString(w, b.String())
		return err
	}
	if in.Need.Tables == "" || in.Need.Tables == TablesAuto {
		in.Need.Tables = TablesShared
	}
	r, err := Check(root, in)
	if err != nil {
		return err
	}
	switch o.Format {
	case FormatSysctl:
		writeSysctl(b, r, o)
	case FormatLimits:
		writeLimits(b, r, o)
	case FormatSystemd:
		writeSystemd(b, r, o)
	case FormatDocker:
		writeDocker(b, r)
	case FormatK8s:
		writeK8s(b, r)
	default:
		_, err := ParseFormat(string(o.Format))
		return err
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// needed is the value a file would set whatever the host has now, or false when
// the rule asks for nothing. It never goes below what the kernel starts with.
func (row Row) needed() (Value, bool) {
	if row.rule.Op == Any {
		return Value{}, false
	}
	from := row.parameter.KernelDefault
	if row.rule.Op == AtMost && len(row.rule.Want) > 1 && len(row.value.Numbers) == len(from.Numbers) {
		from = row.value // the outer fields of a buffer vector stay what they are here
	}
	return row.rule.Target(from), true
}

// byDefault says that the kernel's own default suffices, so that a new network
// namespace or an untouched host needs no line.
func (row Row) byDefault() bool {
	return len(row.parameter.KernelDefault.Numbers) > 0 && row.rule.Met(row.parameter.KernelDefault)
}

// toSet is what the file sets on this host: the needed value where the current
// one falls short or is not known, else nothing.
func (row Row) toSet(all bool) (Value, bool) {
	if row.parameter.NeverWrite != "" || row.Verdict == Gone || row.Verdict == Absent {
		return Value{}, false
	}
	if all {
		return row.needed()
	}
	switch row.Verdict {
	case Short, Advised:
		return row.target, true
	case Unknown, Node:
		return row.needed()
	}
	return Value{}, false
}

// header is the comment that opens every file.
func header(b *strings.Builder, r Report, o RenderOptions, path string) {
	fmt.Fprintf(b, "# %s\n#\n", path)
	comment(b, "", fmt.Sprintf("Written by %s for %s connections and %s new ones a second.", command(r.Need, o), Count(r.Need.Conns), Count(r.Need.Rate)))
}

// command is how to write the same file again.
func command(n Need, o RenderOptions) string {
	c := fmt.Sprintf("limpet sysctl render --conns %d --rate %d", n.Conns, n.Rate)
	for _, f := range []struct {
		name string
		n    int64
	}{{"msg-rate", n.MsgRate}, {"outbound", n.Outbound}, {"loops", n.Loops}} {
		if f.n != 0 {
			c += fmt.Sprintf(" --%s %d", f.name, f.n)
		}
	}
	if n.MessageBytes != defaultMessageBytes {
		c += fmt.Sprintf(" --msg-bytes %d", n.MessageBytes)
	}
	if n.Tables == TablesPerLoop {
		c += " --fd-tables per-loop"
	}
	if o.All {
		c += " --all"
	}
	return c + " --format " + string(o.Format)
}

// comment prints text as comment lines.
func comment(b *strings.Builder, indent, text string) {
	lines := &strings.Builder{}
	wrap(lines, indent, "# ", text)
	// wrap indents continuation lines with spaces; they are comments too.
	for i, line := range strings.SplitAfter(lines.String(), "\n") {
		if i > 0 && line != "" {
			line = indent + "# " + strings.TrimLeft(line, " ")
		}
		b.WriteString(line)
	}
}

// because prints why a setting has its value, as comments.
func because(b *strings.Builder, indent string, row Row) {
	comment(b, indent, row.Reason)
	if row.Math != "" {
		comment(b, indent, "Here: "+row.Math+".")
	}
	comment(b, indent, "Source: "+row.Source)
}

func isSysctl(p Parameter) bool { return strings.HasPrefix(p.File, "proc/sys/") }

func writeSysctl(b *strings.Builder, r Report, o RenderOptions) {
	header(b, r, o, "/etc/sysctl.d/60-limpet.conf")
	comment(b, "", "Load it with sysctl --system, then restart the gateway: net.core.somaxconn is read at its start.")
	for _, row := range r.Rows {
		p := row.parameter
		if !isSysctl(p) {
			continue
		}
		b.WriteByte('\n')
		if value, ok := row.toSet(o.All); ok {
			because(b, "", row)
			fmt.Fprintf(b, "%s = %s\n", p.Name, value.Raw())
			continue
		}
		comment(b, "", p.Name+": "+row.whyNot())
	}
	for _, row := range r.Rows {
		value, ok := row.toSet(o.All)
		if row.parameter.File == "" || isSysctl(row.parameter) || !ok {
			continue
		}
		b.WriteByte('\n')
		because(b, "", row)
		comment(b, "", fmt.Sprintf("%s is no sysctl. In /etc/tmpfiles.d/limpet.conf:", row.Name))
		fmt.Fprintf(b, "# w /%s - - - - %s\n", row.parameter.File, value.Raw())
	}
}

// whyNot says why a file leaves a setting out.
func (row Row) whyNot() string {
	switch {
	case row.parameter.NeverWrite != "":
		return "never written: " + row.parameter.NeverWrite
	case row.Verdict == Absent:
		return "left out: " + row.Note
	case row.rule.Op == Any:
		return "left alone: " + row.Math
	}
	return fmt.Sprintf("%s here suffices, needed is %s", row.Current, row.Needed)
}

func (r Report) nofile() Row {
	for _, row := range r.Rows {
		if row.Name == nofileHardName {
			return row
		}
	}
	return Row{}
}

func writeLimits(b *strings.Builder, r Report, o RenderOptions) {
	header(b, r, o, "/etc/security/limits.d/60-limpet.conf")
	comment(b, "", "pam_limits reads it at login, for a gateway started by hand. A systemd service does not: use --format systemd.")
	b.WriteByte('\n')
	because(b, "", r.nofile())
	for _, kind := range []string{"soft", "hard"} {
		fmt.Fprintf(b, "%s %s nofile %d\n", o.User, kind, r.Plan.Descriptors)
	}
}

func writeSystemd(b *strings.Builder, r Report, o RenderOptions) {
	header(b, r, o, "/etc/systemd/system/limpet.service.d/60-limits.conf")
	comment(b, "", "Then: systemctl daemon-reload && systemctl restart limpet")
	b.WriteString("\n[Service]\n")
	because(b, "", r.nofile())
	fmt.Fprintf(b, "LimitNOFILE=%d\n", r.Plan.Descriptors)
	for _, row := range r.Rows {
		switch {
		case row.Scope != ScopeCgroup:
		case row.Unit == unitThreads:
			b.WriteByte('\n')
			because(b, "", row)
			comment(b, "", "systemd's default is far above; should the unit set one, then not below:")
			fmt.Fprintf(b, "# TasksMax=%d\n", row.rule.Want[0])
		default:
			b.WriteByte('\n')
			because(b, "", row)
			comment(b, "", fmt.Sprintf("Should the unit limit memory at all, then not below %s:", Bytes(row.rule.Want[0])))
			fmt.Fprintf(b, "# MemoryMax=%dM\n", mebibytes(row.rule.Want[0]))
		}
	}
}

func mebibytes(n int64) int64 { return ceilDiv(n, 1<<20) }
