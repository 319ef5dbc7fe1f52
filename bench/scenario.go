package bench

import (
	"context"
	"time"
)

// Scenario is one question and the way to answer it.
type Scenario struct {
	Name     string
	Question string
	Method   string // what is done, in a few sentences
	Uplink   string // of a spawned limpet
	Defaults Options
	steps    bool // Options.Steps are counts of connections, each round adds its own
	run      func(ctx context.Context, t *trial) error
}

// defaults of every scenario, which each changes where it must.
func defaults(change func(*Options)) Options {
	o := Options{
		Conns: 1000, Rate: 5000, Duration: 10 * time.Second, Warmup: 2 * time.Second,
		Timeout: 10 * time.Second, Size: 64, Seed: 1, Steps: 4, Rounds: 1, InFlight: []int{1, 10},
		SlowShare: 0.1,
	}
	change(&o)
	return o
}

// Scenarios lists them in the order of the help text.
func Scenarios() []Scenario {
	return []Scenario{
		{
			Name:     "idle",
			Question: "How many bytes does one idle connection cost the server?",
			Method: `Connections are opened in --steps steps. After each step the server's memory
is read until three readings agree. The cost of a connection is the slope of
the line through all steps, with its 95 % confidence interval, next to the
simple difference. A spawned server is started and measured --rounds times,
because a collector's timing moves a single run by several percent. The kernel's part is read from slabinfo and sockstat.
--duration holds the connections before the last reading, answering pings.`,
			Defaults: defaults(func(o *Options) { o.Conns, o.Duration, o.Steps, o.Rounds = 15_000, 0, 16, 2 }),
			Uplink:   "echo",
			steps:    true,
			run:      idle,
		},
		{
			Name:     "connect",
			Question: "How many connections per second does the server take, and how long does an upgrade last?",
			Method: `All connections are opened as fast as the server takes them, or at --rate, and
dropped; this repeats until --duration is over, and once before it that is not
counted. Latency counts from the time at which a dial was due to the 101.`,
			Defaults: defaults(func(o *Options) { o.Conns, o.Rate = 5000, 0 }),
			Uplink:   "echo",
			run:      connect,
		},
		{
			Name:     "echo",
			Question: "How many messages does the server answer, how fast, and at what CPU cost?",
			Method: `First every connection keeps one message in flight, which shows throughput.
Then messages are due at a fixed rate whatever the server does (--msg-rate, or
30 % of the throughput), and latency counts from the time at which each was
due, so that a stalled server is not flattered. Each part lasts --duration.`,
			Defaults: defaults(func(o *Options) { o.Conns = 200 }),
			Uplink:   "echo",
			run:      echo,
		},
		{
			Name:     "fanout",
			Question: "How long until the last of N clients has a message sent to all, and what does a delivery cost?",
			Method: `Broadcasts are published with a fixed number under way at once (--in-flight, one
part each): the next begins when the last client of one has it. Baseline
servers and --target take "!broadcast TEXT" on a connection; limpet is told
through Kafka, as a business service would, so its times include the broker.`,
			Defaults: defaults(func(o *Options) { o.Conns, o.Size = 5000, 128 }),
			Uplink:   "kafka",
			run:      fanout,
		},
		{
			Name:     "uplink",
			Question: "How many messages per second reach Kafka, and how many are lost?",
			Method: `limpet runs with the kafka uplink. Messages are due at --msg-rate; each carries
a number, and a consumer counts the numbers that it finds in Kafka: a missing
one is lost, one seen twice is a duplicate. Latency counts from the time at
which a message was due to its arrival at the consumer.`,
			Defaults: defaults(func(o *Options) { o.Conns, o.MsgRate = 500, 10_000 }),
			Uplink:   "kafka",
			run:      uplink,
		},
		{
			Name:     "storm",
			Question: "Everybody drops and reconnects at once: how long until all are back?",
			Method: `All connections end with RST and every client dials again in the same moment,
without a pace. Refused ones come back after the server's Retry-After, or a
jittered and doubling pause. The peak of RSS counts from the moment of the drop.`,
			Defaults: defaults(func(o *Options) { o.Conns, o.Duration = 10_000, time.Minute }),
			Uplink:   "echo",
			run:      storm,
		},
		{
			Name:     "slow",
			Question: "Some clients never read: what does it cost the server, and what do the others notice?",
			Method: `First all clients echo at --msg-rate, which gives the latency to compare with.
Then --slow-share of them sends as fast as the server takes it and never reads,
while the rest goes on as before.`,
			Defaults: defaults(func(o *Options) { o.Size, o.MsgRate, o.SlowShare = 8192, 1000, 0.05 }),
			Uplink:   "echo",
			run:      slow,
		},
		{
			Name:     "watched",
			Question: "What does it cost the server to be looked at?",
			Method: `Messages are due at --msg-rate. For --duration nobody looks at the server; for
another, its metrics are scraped every 5 s, a dashboard is open, and messages of
somebody who is not there are logged. --steps such pairs follow each other, the
order of each the other way round than before, and each gives a ratio of the
server's CPU per message. Before them the server rests, alone and watched, for
twice as long each, which tells what looking costs by itself. --spawn limpet-watched is a limpet that is looked at
all the time: idle tells what that costs in memory.`,
			Defaults: defaults(func(o *Options) { o.Conns, o.MsgRate, o.Steps, o.Warmup = 200, 10_000, 16, time.Second }),
			Uplink:   "echo",
			run:      watched,
		},
		{
			Name:     "soak",
			Question: "Does memory grow over hours of mixed load?",
			Method: `Messages at --msg-rate while --churn connections per second end, every other
one without a goodbye, and are replaced. RSS is read at least 20 times; the
figure is the slope over time with its confidence interval, without the first
tenth of the time.`,
			Defaults: defaults(func(o *Options) { o.Conns, o.MsgRate, o.Churn, o.Duration = 2000, 1000, 20, time.Hour }),
			Uplink:   "echo",
			run:      soak,
		},
	}
}

// Find returns the scenario of that name.
func Find(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}
