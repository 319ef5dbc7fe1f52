package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
)

// who says who can change a setting that is not well, and with what. Where this
// process may write the file itself, it is as simple as that.
func who(root Root, h Host, row Row) string {
	p := row.parameter
	if p.NeverWrite != "" {
		return "set it by hand: limpet never writes it"
	}
	switch row.Scope {
	case ScopeProcess:
		return whoProcess(h, row)
	case ScopeCgroup:
		return whoCgroup(h, row)
	case ScopeMemory:
		return "a machine with more memory, or fewer connections on this one"
	}
	var err error
	if row.Verdict != Unknown && row.Verdict != Node && p.File != "" {
		if err = root.Files.Writable(p.File); err == nil {
			return applies(row) + "; limpet sysctl render --format sysctl keeps it over a reboot"
		}
	}
	if h.Container == "" && h.InitialNetns {
		return "root: " + applies(row) + "; limpet sysctl render --format sysctl keeps it over a reboot"
	}
	elsewhere := whoElsewhere(h, row)
	if errors.Is(err, fs.ErrPermission) && (h.InitialNetns || row.Scope == ScopeNetns || !isNet(p)) {
		// Root in a privileged container may; in another /proc/sys is read-only.
		return "root: " + applies(row) + "; where that is read-only, " + elsewhere
	}
	return elsewhere
}

// applies is the command that writes the setting: apply alone only raises.
func applies(row Row) string {
	if row.Target != "" && !row.rule.Raises(row.value, row.target) {
		return "limpet sysctl apply --force"
	}
	return "limpet sysctl apply"
}

// whoElsewhere says who can change a kernel setting that is not this host's own.
func whoElsewhere(h Host, row Row) string {
	p := row.parameter
	if row.Scope == ScopeHost {
		if h.Container == "" {
			return "root of the host, outside of this network namespace: " + applies(row) + " there"
		}
		return "the node: " + applies(row) + " there, or a file in its /etc/sysctl.d"
	}
	if h.InitialNetns {
		return "the node: this container shares its network namespace"
	}
	switch h.Container {
	case "":
		return "who made this network namespace"
	case "kubernetes":
		if p.KubeSafe != "" {
			return fmt.Sprintf("the pod: securityContext.sysctls (safe since Kubernetes %s)", p.KubeSafe)
		}
		return "the pod: securityContext.sysctls, and its node: kubelet --allowed-unsafe-sysctls=" + p.Name
	}
	return fmt.Sprintf("who starts the container: --sysctl %s=%q, or sysctls: in compose", p.Name, aim(row))
}

// aim is what a setting is to become, as its file takes it, and N where that
// depends on a value which could not be read: Needed says how much is enough.
func aim(row Row) string {
	if raw := row.target.Raw(); raw != "" {
		return raw
	}
	return "N"
}

func whoProcess(h Host, row Row) string {
	n := aim(row)
	switch h.Container {
	case "":
		return fmt.Sprintf("the systemd unit: LimitNOFILE=%s (limpet sysctl render --format systemd); logins: limits.d (--format limits)", n)
	case "kubernetes":
		return fmt.Sprintf("the node: LimitNOFILE=%s in the unit of its container runtime; or --fd-tables per-loop, which needs less", n)
	}
	return fmt.Sprintf("who starts the container: --ulimit nofile=%s:%s, or ulimits: in compose", n, n)
}

func whoCgroup(h Host, row Row) string {
	memory := row.Unit == unitMemory
	switch {
	case h.Container == "kubernetes" && memory:
		return "the pod: resources.limits.memory"
	case h.Container == "kubernetes":
		return "the node: kubelet --pod-max-pids"
	case h.Container != "" && memory:
		return "who starts the container: --memory, or mem_limit: in compose"
	case h.Container != "":
		return "who starts the container: --pids-limit, or pids_limit: in compose"
	case memory:
		return "the systemd unit: MemoryMax= and MemoryHigh= (limpet sysctl render --format systemd)"
	}
	return "the systemd unit: TasksMax= (limpet sysctl render --format systemd)"
}
