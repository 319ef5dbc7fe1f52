package sysctl

import (
	"fmt"
	"strings"
)

// A new network namespace starts with the kernel's defaults, not with the values
// of the namespace this runs in. So container files set what the defaults do not
// meet, whatever this host has.

// netnsRows are the settings that a container can have for itself.
func (r Report) netnsRows() (rows []Row, values []Value) {
	for _, row := range r.Rows {
		value, ok := row.needed()
		if row.Scope == ScopeNetns && isSysctl(row.parameter) && ok && !row.byDefault() && row.parameter.NeverWrite == "" && row.Verdict != Absent {
			rows, values = append(rows, row), append(values, value)
		}
	}
	return rows, values
}

// hostComment lists what must be set on the machine below, as comments in the
// form of a sysctl.d file.
func hostComment(b *strings.Builder, r Report, indent, where string) {
	comment(b, indent, where)
	for _, row := range r.Rows {
		value, ok := row.needed()
		if row.Scope != ScopeHost || row.parameter.File == "" || !ok || row.byDefault() || row.parameter.NeverWrite != "" {
			continue
		}
		b.WriteString(indent + "#\n")
		because(b, indent, row)
		if isSysctl(row.parameter) {
			fmt.Fprintf(b, "%s#   %s = %s\n", indent, row.Name, value.Raw())
		} else {
			fmt.Fprintf(b, "%s#   echo %s > /%s\n", indent, value.Raw(), row.parameter.File)
		}
	}
}

func (r Report) cgroupRow(unit string) Row {
	for _, row := range r.Rows {
		if row.Scope == ScopeCgroup && row.Unit == unit {
			return row
		}
	}
	return Row{}
}

func writeDocker(b *strings.Builder, r Report) {
	header(b, r, RenderOptions{Format: FormatDocker}, "compose.yaml, to be merged into the service that runs limpet")
	comment(b, "", "With network_mode: host leave sysctls out and set them on the host.")
	b.WriteString("services:\n  limpet:\n    sysctls:\n")
	rows, values := r.netnsRows()
	for i, row := range rows {
		because(b, "      ", row)
		fmt.Fprintf(b, "      %s: %q\n", row.Name, values[i].Raw())
	}
	b.WriteString("    ulimits:\n      nofile:\n")
	because(b, "        ", r.nofile())
	fmt.Fprintf(b, "        soft: %d\n        hard: %d\n", r.Plan.Descriptors, r.Plan.Descriptors)
	pids := r.cgroupRow(unitThreads)
	because(b, "    ", pids)
	comment(b, "    ", "Unlimited unless set; not below:")
	fmt.Fprintf(b, "    # pids_limit: %d\n", pids.rule.Want[0])
	memory := r.cgroupRow(unitMemory)
	because(b, "    ", memory)
	comment(b, "    ", "Unlimited unless set; not below:")
	fmt.Fprintf(b, "    # mem_limit: %dm\n", mebibytes(memory.rule.Want[0]))
	b.WriteByte('\n')
	hostComment(b, r, "", "On the host, which no container can set. In /etc/sysctl.d/60-limpet.conf there, where its value is lower:")
}

func writeK8s(b *strings.Builder, r Report) {
	header(b, r, RenderOptions{Format: FormatK8s}, "Fragment of a pod (or of spec.template of a StatefulSet) that runs limpet")
	comment(b, "", "With hostNetwork: true leave sysctls out and set them on the node.")
	b.WriteString("spec:\n  securityContext:\n    sysctls:\n")
	rows, values := r.netnsRows()
	var unsafe []string
	for i, row := range rows {
		because(b, "    ", row)
		if safe := row.parameter.KubeSafe; safe != "" {
			comment(b, "    ", "Safe: allowed to every pod since Kubernetes "+safe+".")
		} else {
			comment(b, "    ", "Unsafe: the kubelet of the node must allow it, see below.")
			unsafe = append(unsafe, row.Name)
		}
		fmt.Fprintf(b, "    - name: %s\n      value: %q\n", row.Name, values[i].Raw())
	}
	memory := r.cgroupRow(unitMemory)
	b.WriteString("  containers:\n  - name: limpet\n    resources:\n")
	because(b, "      ", memory)
	mib := mebibytes(memory.rule.Want[0])
	fmt.Fprintf(b, "      requests:\n        memory: %dMi\n      limits:\n        memory: %dMi\n\n", mib, mib)

	comment(b, "", "On each node that runs it:")
	b.WriteString("#\n")
	fmt.Fprintf(b, "#   kubelet --allowed-unsafe-sysctls=%s\n#\n", strings.Join(unsafe, ","))
	because(b, "", r.nofile())
	comment(b, "", "A pod cannot set it. In a drop-in of the container runtime's unit (containerd.service, crio.service):")
	fmt.Fprintf(b, "#   [Service]\n#   LimitNOFILE=%d\n#\n", r.Plan.Descriptors)
	hostComment(b, r, "", "In /etc/sysctl.d/60-limpet.conf of the node, where its value is lower:")
}
