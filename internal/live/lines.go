package live

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/limpet-gateway/limpet/internal/telemetry"
)

// line is a labelled row of text.
type line struct{ label, text string }

// lines says what a snapshot holds. rates is nil where there is only one.
func lines(s telemetry.Snapshot, rates *Rates) []line {
	per := func(v float64) string {
		if rates == nil {
			return ""
		}
		return fmt.Sprintf(" (%s/s)", count(v))
	}
	var r Rates
	if rates != nil {
		r = *rates
	}
	c := s.Connections
	all := []line{
		{"sessions", fmt.Sprintf("%s of %s principals; %s connections of %s", count(float64(s.Sessions)), count(float64(s.Principals)),
			count(float64(c.Handshaking+c.Undecided+c.Open+c.Closing+c.Lingering)), count(float64(c.Limit)))},
		{"opened", fmt.Sprintf("%s%s, refused %s%s", count(float64(s.Opened)), per(r.Opened), count(float64(sum(s.Refused))), per(r.Refused))},
		{"closed", fmt.Sprintf("%s%s%s", count(float64(sum(s.Closed))), per(r.Closed), top(s.Closed, 3))},
		{"messages", fmt.Sprintf("in %s%s, out %s%s, dropped %s%s", count(float64(s.Messages.In)), per(r.MessagesIn),
			count(float64(s.Messages.Out)), per(r.MessagesOut), count(float64(s.Dropped)), per(r.Dropped))},
		{"bytes", fmt.Sprintf("in %s%s, out %s%s", size(float64(s.Bytes.In)), perSize(rates, r.BytesIn), size(float64(s.Bytes.Out)), perSize(rates, r.BytesOut))},
		{"mailboxes", fmt.Sprintf("%s pushes, %s; full %s times", count(float64(s.Mailbox.Messages)), size(float64(s.Mailbox.Bytes)), count(float64(s.Mailbox.Full)))},
	}
	if decided := top(s.Auth, 5); decided != "" {
		all = append(all, line{"auth", strings.TrimPrefix(decided, ": ")})
	}
	if u := s.Uplink; u != nil {
		text := fmt.Sprintf("%s accepted, %s refused; %s buffered, %s; %s failures", count(float64(u.Accepted)), count(float64(u.Refused)),
			count(float64(u.BufferedRecords)), size(float64(u.BufferedBytes)), count(float64(u.KafkaErrors)))
		if r.Produce > 0 {
			text += fmt.Sprintf("; %v to Kafka", r.Produce.Round(100*time.Microsecond))
		}
		all = append(all, line{"uplink", text})
	}
	if d := s.Directory; d != nil {
		text := fmt.Sprintf("%s; %s commands, %s failed; %s waiting of %s", d.State, count(float64(d.Calls)), count(float64(d.Failed)),
			count(float64(d.Queued)), count(float64(d.QueueLimit)))
		if d.LeaseAgeSeconds >= 0 {
			text += fmt.Sprintf("; lease %.1f s old of %.0f", d.LeaseAgeSeconds, d.LeaseSeconds)
		} else {
			text += "; no lease"
		}
		all = append(all, line{"redis", text})
	}
	p := s.Pushes
	pushes := fmt.Sprintf("%s delivered, %s to other nodes, %s offline, %s failed", count(float64(p.Delivered)), count(float64(p.Forwarded)),
		count(float64(p.Offline)), count(float64(p.Failed)))
	if d := s.Downlink; d != nil {
		pushes += fmt.Sprintf("; %s records, lag %s", count(float64(d.Records)), count(float64(d.Lag)))
	}
	all = append(all, line{"pushes", pushes})
	memory := size(float64(s.Memory.Resident)) + " resident"
	if s.Sessions > 0 {
		memory += fmt.Sprintf(", %s a session", size(float64(s.BytesPerSession)))
	}
	all = append(all, line{"memory", memory + parts(s.Memory)})
	if o := s.Overload; o != nil {
		text := fmt.Sprintf("%s, %s of a budget of %s", strings.ReplaceAll(o.Level, "_", " "), size(float64(s.Memory.Used)), size(float64(s.Memory.Budget)))
		if o.Rung > 0 {
			text += fmt.Sprintf(", for %v", time.Duration(o.SinceSeconds)*time.Second)
		}
		if o.Shed+o.Evicted > 0 {
			text += fmt.Sprintf("; %s sessions shed, %s cut for what they held", count(float64(o.Shed)), count(float64(o.Evicted)))
		}
		all = append(all, line{"overload", text})
	}
	all = append(all,
		line{"goroutines", strconv.Itoa(s.Goroutines)})
	if s.HostError != "" {
		return append(all, line{"host", s.HostError})
	}
	h := s.Host
	return append(all, line{"host", fmt.Sprintf("%s TCP sockets, %s in TIME-WAIT; %s listen overflows, %s retransmits", count(float64(h.InUse)),
		count(float64(h.TimeWait)), count(float64(h.ListenOverflows)), count(float64(h.Retransmits)))})
}

// parts names the largest parts of the memory.
func parts(m telemetry.Memory) string {
	return top(map[string]uint64{
		"loops": uint64(m.Loops), "registry": uint64(m.Registry), "uplink": uint64(m.Uplink), "mailboxes": uint64(m.Mailboxes),
		"outbound": uint64(m.Outbound), "unfinished": uint64(m.Unfinished), "other heap": uint64(m.OtherHeap), "free heap": uint64(m.HeapFree),
		"stacks": uint64(m.Stacks), "runtime": uint64(m.Runtime), "program": uint64(m.Program), "sockets": uint64(m.Sockets),
	}, 4, func(n uint64) string { return size(float64(n)) })
}

// top lists the n largest of counts, those above 0.
func top(counts map[string]uint64, n int, format ...func(uint64) string) string {
	write := func(v uint64) string { return count(float64(v)) }
	if len(format) > 0 {
		write = format[0]
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var words []string
	for _, name := range names[:min(n, len(names))] {
		if counts[name] > 0 {
			words = append(words, name+" "+write(counts[name]))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, ", ")
}

func perSize(rates *Rates, v float64) string {
	if rates == nil {
		return ""
	}
	return fmt.Sprintf(" (%s/s)", size(v))
}

// count writes a number with groups of three digits; below 100, what has a
// fraction keeps one digit of it.
func count(v float64) string {
	if v < 100 && v != float64(int64(v)) {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	digits := strconv.FormatInt(int64(v+0.5), 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// size writes bytes in the largest unit of which there is one.
func size(v float64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if v < 1024 {
			return strconv.FormatFloat(v, 'f', digits(v, unit), 64) + " " + unit
		}
		v /= 1024
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " GiB"
}

func digits(v float64, unit string) int {
	if unit == "B" || v >= 100 {
		return 0
	}
	return 1
}

// Text is a snapshot in lines, for limpet stats.
func Text(s telemetry.Snapshot) string {
	var b strings.Builder
	fmt.Fprintln(&b, title(s))
	for _, l := range lines(s, nil) {
		fmt.Fprintf(&b, "  %-11s %s\n", l.label, l.text)
	}
	return b.String()
}

func title(s telemetry.Snapshot) string {
	text := fmt.Sprintf("limpet %s, node %s, %s, up %v", s.Version, s.Node, s.Status, time.Duration(s.UptimeSeconds)*time.Second)
	if len(s.Reasons) > 0 {
		text += " (" + strings.Join(s.Reasons, "; ") + ")"
	}
	return text
}
