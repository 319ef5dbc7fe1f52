package redisdir

import (
	"fmt"
	"slices"
	"strings"
)

// compareBuses says when a live node has its pushes carried by something else
// than this one: neither would notice, since what is sent is sent well, and
// read by nobody.
func (d *Directory) compareBuses(v *view) {
	var strangers []string
	for _, n := range v.byProcess {
		if n.Bus != d.config.Bus {
			strangers = append(strangers, fmt.Sprintf("%s: %s", n.ID, inWords(n.Bus)))
		}
	}
	slices.Sort(strangers)
	now := strings.Join(strangers, ", ")
	if now == d.strangers {
		return
	}
	d.strangers = now
	var why error
	if now != "" {
		why = fmt.Errorf("pushes between this node (%s) and others (%s) are lost: give all nodes the same bus, Kafka and topic prefix", inWords(d.config.Bus), now)
		d.config.Log.Error("nodes that share Redis do not reach each other", "err", why)
	} else {
		d.config.Log.Info("nodes that share Redis reach each other again")
	}
	if d.config.BusDiffers != nil {
		d.config.BusDiffers(why)
	}
}

func inWords(bus string) string {
	if bus == "" {
		return "no bus"
	}
	return bus
}
