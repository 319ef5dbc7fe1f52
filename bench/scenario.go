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
	Defaults Options
	run      func(ctx context.Context, t *trial) error
}

// defaults of every scenario, which each changes where it must.
func defaults(change func(*Options)) Options {
	o := Options{
		Conns: 1000, Rate: 5000, Duration: 10 * time.Second, Warmup: 2 * time.Second,
		Timeout: 10 * time.Second, Size: 64, Seed: 1, Steps: 8, InFlight: []int{1, 10},
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
simple difference; the kernel's part is read from slabinfo and sockstat.
--duration holds the connections before the last reading, answering pings.`,
			Defaults: defaults(func(o *Options) { o.Conns = 15_000; o.Duration = 0 }),
			run:      idle,
		},
		{
			Name:     "echo",
			Question: "How many messages does the server answer, how fast, and at what CPU cost?",
			Method: `First every connection keeps one message in flight, which shows throughput.
Then messages are due at a fixed rate whatever the server does (--msg-rate, or
60 % of the throughput), and latency counts from the time at which each was
due, so that a stalled server is not flattered. Each part lasts --duration.`,
			Defaults: defaults(func(o *Options) { o.Conns = 200 }),
			run:      echo,
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
