package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Cgroup is the tightest limit on the path from this process's cgroup to the
// root: a parent's limit binds its children whatever they say themselves.
type Cgroup struct {
	Version    int    // 1 or 2; 0 when none was found
	Memory     int64  // bytes; Unlimited when nothing limits
	MemoryFile string // which file limits it
	Pids       int64
	PidsFile   string
}

// Files that limit, per hierarchy. memory.high throttles and reclaims before
// memory.max kills, so a gateway above it stalls: both count as limits.
var (
	cgroup1Memory = []string{"memory.limit_in_bytes"}
	cgroup2Memory = []string{"memory.max", "memory.high"}
	cgroupPids    = []string{"pids.max"}
)

func inspectCgroup(root Root) (Cgroup, error) {
	c := Cgroup{Memory: Unlimited, Pids: Unlimited}
	text, err := root.text("proc/self/cgroup")
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil // a kernel without cgroups
	}
	if err != nil {
		return c, err
	}
	var faults []error
	limit := func(into *int64, source *string, mount, group string, files []string) {
		faults = append(faults, walkUp(root, mount, group, files, into, source))
	}
	for _, line := range strings.Split(text, "\n") {
		// hierarchy-ID:controller,controller:/path, and "0::/path" for version 2.
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			faults = append(faults, fmt.Errorf("%q is not ID:CONTROLLERS:PATH", clip(line)))
			continue
		}
		group := parts[2]
		for _, controller := range strings.Split(parts[1], ",") {
			switch controller {
			case "memory":
				c.Version = 1
				limit(&c.Memory, &c.MemoryFile, "sys/fs/cgroup/memory", group, cgroup1Memory)
			case "pids":
				c.Version = 1
				limit(&c.Pids, &c.PidsFile, "sys/fs/cgroup/pids", group, cgroupPids)
			}
		}
		if parts[0] == "0" && parts[1] == "" && c.Version == 0 && isCgroup2(root) {
			c.Version = 2
			limit(&c.Memory, &c.MemoryFile, "sys/fs/cgroup", group, cgroup2Memory)
			limit(&c.Pids, &c.PidsFile, "sys/fs/cgroup", group, cgroupPids)
		}
	}
	return c, errors.Join(faults...)
}

// isCgroup2 tells the unified hierarchy from a version 1 host that mounts
// version 2 beside it without controllers.
func isCgroup2(root Root) bool {
	controllers, err := root.text("sys/fs/cgroup/cgroup.controllers")
	return err == nil && controllers != ""
}

// walkUp takes the least of the limits from group up to the mount point. In a
// container the path may name a group of the host that is not visible here;
// then the mount point itself is this container's group.
func walkUp(root Root, mount, group string, files []string, into *int64, source *string) error {
	var faults []error
	const deepest = 64 // no hierarchy is that deep; a loop cannot be
	at := path.Clean("/" + group)
	for range deepest {
		for _, file := range files {
			name := path.Join(mount, at, file)
			text, err := root.text(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // the root group has no limit files
			}
			var n int64
			if err == nil {
				n, err = parseNumber(text)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
				continue
			}
			if n < *into {
				*into, *source = n, "/"+name
			}
		}
		if at == "/" {
			break
		}
		at = path.Dir(at)
	}
	return errors.Join(faults...)
}
