package sysctl

import (
	"fmt"
	"strconv"
	"strings"
)

// slabCache is one line of /proc/slabinfo (slabinfo(5)).
type slabCache struct {
	active int64 // objects in use
	size   int64 // bytes of one object
	// share is what an object takes of its slab, bytes: the pages of a slab
	// divided by the objects in it, which counts the slack at its end.
	share float64
}

// readSlabinfo reads every cache by name. It needs root: the file has mode 0400.
func readSlabinfo(root Root) (map[string]slabCache, error) {
	text, err := root.text("proc/slabinfo")
	if err != nil {
		return nil, err
	}
	caches := map[string]slabCache{}
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "slabinfo") {
			continue
		}
		// name active_objs num_objs objsize objperslab pagesperslab : ...
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		var n [6]int64
		for i := 1; i < 6; i++ {
			v, err := strconv.ParseInt(f[i], 10, 64)
			if err != nil || v < 0 {
				return nil, fmt.Errorf("slabinfo: %q in cache %s", clip(f[i]), clip(f[0]))
			}
			n[i] = v
		}
		c := slabCache{active: n[1], size: n[3]}
		if n[4] > 0 {
			c.share = float64(n[5]*root.PageSize) / float64(n[4])
		}
		caches[f[0]] = c
	}
	if len(caches) == 0 {
		return nil, fmt.Errorf("slabinfo: no caches in it")
	}
	return caches, nil
}

// readSockstat returns the pages that TCP accounts against tcp_mem. The kernel
// keeps one count for the whole machine, whatever the network namespace.
func readSockstat(root Root) (pages int64, err error) {
	text, err := root.text("proc/net/sockstat")
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(f); i += 2 {
			if f[i] == "mem" {
				return strconv.ParseInt(f[i+1], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("sockstat: no TCP mem in it")
}
