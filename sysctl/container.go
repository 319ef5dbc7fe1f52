package sysctl

import "strings"

// detectContainer names the container runtime, or returns "" outside of one.
// No single mark is reliable, so the most telling ones are tried in turn.
func detectContainer(root Root) string {
	if env, err := root.Files.Read("proc/self/environ"); err == nil {
		for _, kv := range strings.Split(string(env), "\x00") {
			if strings.HasPrefix(kv, "KUBERNETES_SERVICE_HOST=") {
				return "kubernetes"
			}
		}
	}
	for _, mark := range []struct{ file, name string }{
		{".dockerenv", "docker"},
		{"run/.containerenv", "podman"},
	} {
		if _, err := root.Files.Read(mark.file); err == nil {
			return mark.name
		}
	}
	// systemd and nspawn write the runtime's name here.
	if name, err := root.text("run/systemd/container"); err == nil && name != "" {
		return clip(name)
	}
	if group, err := root.text("proc/1/cgroup"); err == nil {
		for _, mark := range []struct{ part, name string }{
			{"kubepods", "kubernetes"}, {"docker", "docker"}, {"libpod", "podman"}, {"lxc", "lxc"}, {"containerd", "containerd"},
		} {
			// A path ends in such a name as "/docker/ID"; a host's own service is "/system.slice/docker.service".
			if strings.Contains(group, "/"+mark.part) && !strings.Contains(group, ".service") {
				return mark.name
			}
		}
	}
	return ""
}
