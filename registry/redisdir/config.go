package redisdir

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
)

// Config says how a node takes part in the directory. Zero values mean the
// defaults beside them.
type Config struct {
	// URL of Redis: redis://[user:password@]host:port[/db], rediss:// for TLS.
	// Further addresses of a cluster or of sentinels follow as ?addr=host:port;
	// with ?master_set=NAME the addresses are sentinels. A Redis Cluster is
	// recognized by itself.
	URL string

	// Node is the stable id of this node: 1 to 64 letters, digits, dots,
	// dashes and underscores. No two running processes may share it.
	Node string

	// API is where the other nodes and the tools reach this node's HTTP API,
	// host:port; empty where they cannot.
	API string

	// Bus is what carries pushes between nodes, in words without spaces; all
	// nodes have to say the same, or pushes between them are lost. Empty where
	// none is carried.
	Bus string
	// BusDiffers is told which live nodes say something else, nil when none does
	// any more. Called from the directory's goroutines; it must not block. May be
	// nil.
	BusDiffers func(why error)

	// Expect is the population of all nodes together, from which the number of
	// buckets follows; 1,000,000. The first node decides; the directory must be
	// empty for it to change.
	Expect int

	Lease time.Duration // without a renewal for so long a node is dead; 10 s
	Renew time.Duration // between renewals; three tenths of Lease
	View  time.Duration // between looks at the other nodes; a tenth of Lease, at most 1 s
	Poll  time.Duration // between looks for sessions displaced elsewhere; 100 ms

	CallTimeout time.Duration // deadline of every call; 500 ms
	Probe       time.Duration // between probes while Redis is away; 500 ms
	// ClockSlack is how far the clocks of Redis servers may be apart before
	// writes are refused as late; 1 s.
	ClockSlack time.Duration

	Queue      int // changed names that may wait to be written; 262,144
	Batch      int // names written in one round trip; 1,024
	Writers    int // batches under way at once; 4
	Reregister int // names re-registered per second after a recovery; 150,000

	// Audit is the time between two full comparisons of this node's entries
	// with its table, on top of those that follow a fault; 10 min. Negative
	// means never.
	Audit time.Duration

	// Displaced closes a session, with session.Displaced, because a newer one of
	// its principal lives on another node. Called from the directory's
	// goroutines; it must not block. Required.
	Displaced func(session.ID)

	// Changed is told of every new State, and of what keeps the node in Starting,
	// from the directory's goroutines; it must not block. The error is why Redis
	// is not used, nil while it is. nil means nobody is told.
	Changed func(State, error)

	// Lost is told of the sessions of dead nodes; nil means nobody is.
	Lost registry.LostSink

	Log *slog.Logger // slog.Default()
}

func (c Config) withDefaults() Config {
	or := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	orInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orInt(&c.Expect, 1_000_000)
	or(&c.Lease, 10*time.Second)
	or(&c.Renew, c.Lease*3/10)
	or(&c.View, min(c.Lease/10, time.Second))
	or(&c.Poll, 100*time.Millisecond)
	or(&c.CallTimeout, 500*time.Millisecond)
	or(&c.Probe, 500*time.Millisecond)
	or(&c.ClockSlack, time.Second)
	orInt(&c.Queue, 1<<18)
	orInt(&c.Batch, 1024)
	orInt(&c.Writers, 4)
	orInt(&c.Reregister, 150_000)
	or(&c.Audit, 10*time.Minute)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

var nodeID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Validate reports every fault of the configuration.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if _, err := clientOption(c.URL, c.CallTimeout); err != nil {
		fault("redis: %w", err)
	}
	if !nodeID.MatchString(c.Node) {
		fault("node id %q: want 1 to 64 letters, digits, dots, dashes or underscores", c.Node)
	}
	if c.Expect < 1 || c.Expect > maxBuckets*sessionsPerBucket {
		fault("expected population %d: want 1 to %d", c.Expect, maxBuckets*sessionsPerBucket)
	}
	// A node stops writing this long before its lease ends, so that nothing it
	// wrote can arrive after others have called it dead.
	if margin := c.Renew + 2*c.CallTimeout + c.ClockSlack; margin >= c.Lease {
		fault("lease %v is too short: renewing every %v, with calls of %v and clocks %v apart, needs more than %v",
			c.Lease, c.Renew, c.CallTimeout, c.ClockSlack, margin)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"renew", c.Renew}, {"view", c.View}, {"poll", c.Poll}, {"call timeout", c.CallTimeout}, {"probe", c.Probe}, {"clock slack", c.ClockSlack}} {
		if d.value < time.Millisecond {
			fault("%s: %v is below 1ms", d.name, d.value)
		}
	}
	if c.Queue < 1024 || c.Batch < 1 || c.Batch > 65536 || c.Writers < 1 || c.Writers > 64 || c.Reregister < 1 {
		fault("queue %d (at least 1024), batch %d (1 to 65536), writers %d (1 to 64) or re-registration rate %d (at least 1) is out of range",
			c.Queue, c.Batch, c.Writers, c.Reregister)
	}
	if c.Displaced == nil {
		faults = append(faults, errors.New("nobody is there to close displaced sessions"))
	}
	return errors.Join(faults...)
}
