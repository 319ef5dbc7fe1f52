package bench

import (
	"context"
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/report"
)

// Each fault gives a clear sentence with advice, keeps what was measured, and
// gives no figure that rests on failed connections.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		mode, scenario   string
		message, advice  string
		change           func(*Options)
		figures, samples bool
	}{
		{mode: "hang", scenario: "connect", message: "timeout × ", advice: "did not answer the upgrade in time",
			change: func(o *Options) { o.Timeout, o.Conns = 300*time.Millisecond, 30 }, samples: true},
		{mode: "garbage", scenario: "echo", message: "garbage × ", advice: "does not speak HTTP"},
		{mode: "refuse", scenario: "connect", message: "http_503 × ", advice: "connection limit"},
		{mode: "die", scenario: "echo", message: "", advice: ""},
		{mode: "silent", scenario: "echo", message: "had an answer", advice: "--uplink echo",
			change: func(o *Options) { o.Timeout = 300 * time.Millisecond }, samples: true},
		{mode: "nofile=100", scenario: "echo", message: "may open 100 files, too few for 200 connections", advice: "--conns 50 at most"},
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			url, _ := start(t, c.mode)
			o := quick(t, c.scenario, url)
			if c.change != nil {
				c.change(&o)
			}
			target, result, err := run(t, o, &listener{})
			require.ErrorIs(t, err, ErrFaults)
			require.False(t, result.Complete)
			require.False(t, target.Complete)
			require.NotEmpty(t, target.Faults)
			require.Empty(t, target.Figures)
			if c.mode == "die" {
				// The connections' end is seen first or the process's; both are said.
				last := target.Faults[len(target.Faults)-1]
				require.Contains(t, last.Message, "the server ended during the run")
				require.Contains(t, last.Advice, "last words")
				return
			}
			require.Contains(t, target.Faults[0].Message, c.message)
			require.Contains(t, target.Faults[0].Advice, c.advice)
			if c.samples {
				require.NotEmpty(t, target.Timeline)
			}
		})
	}
}

// What ends connections is said, not only that messages are missing, and a
// server that reads no orders holds nobody up.
func TestFanoutSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "lose")
	o := quick(t, "fanout", url)
	o.Conns, o.InFlight, o.Duration, o.Timeout = 19, []int{1}, 5*time.Second, time.Second
	target, _, err := run(t, o, &listener{})
	require.ErrorIs(t, err, ErrFaults)
	require.Contains(t, target.Faults[0].Message, "connections were lost")
	require.NotEmpty(t, target.Faults[0].Advice)
	require.Empty(t, target.Figures)
}

func TestFanoutOfAServerThatTakesNoOrders(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "lose")
	o := quick(t, "fanout", url)
	o.Conns, o.InFlight, o.Size, o.Timeout = 10, []int{100}, MaxSize, time.Second
	target, _, err := run(t, o, &listener{})
	require.ErrorIs(t, err, ErrFaults)
	require.Contains(t, target.Faults[0].Message, "broadcast")
	require.NotEmpty(t, target.Faults[0].Advice)
}

// Every way in which a server may fail has words of advice.
func TestAdvice(t *testing.T) {
	for kind, want := range map[string]string{
		"http_503": "connection limit", "http_302": "redirects", "http_500": "that HTTP status", "http_400": "TLS",
		"closed_1013": "close code", "closed_4001": "{n}", load.KindTLS: "without TLS", load.KindWrongMessage: "--uplink echo",
	} {
		require.Contains(t, adviceFor(kind), want, kind)
	}
}

func TestNothingListens(t *testing.T) {
	t.Parallel()
	target, _, err := run(t, quick(t, "echo", "ws://127.0.0.1:9/ws"), &listener{})
	require.ErrorIs(t, err, ErrFaults)
	require.Contains(t, target.Faults[0].Message, "nothing listens there")
}

func TestRefusedLater(t *testing.T) {
	t.Parallel()
	// A server that is not on this machine cannot be seen to listen, so the
	// refusal comes from the dials: here one whose process is not looked for.
	url, pid := start(t, "echo")
	o := quick(t, "connect", url)
	o.Duration = time.Minute
	o.Conns = 50
	last, drops := "", 0
	target, _, err := run(t, o, &listener{sample: func(s report.Sample) {
		if s.Phase == "drop" && s.Phase != last {
			drops++ // of the first round, which warms up, then of one that counts
			if drops == 2 {
				require.NoError(t, exec.Command("kill", "-9", itoa(pid)).Run())
			}
		}
		last = s.Phase
	}})
	require.ErrorIs(t, err, ErrFaults)
	require.Contains(t, target.Faults[len(target.Faults)-1].Message, "the server ended during the run")
	require.Positive(t, value(t, target, "connect_rounds"), "the rounds before its end count")
}

func TestClientLimits(t *testing.T) {
	n, err := load.WorkersFor(60_000, 20_000)
	require.NoError(t, err)
	require.Equal(t, 4, n)
	n, err = load.WorkersFor(5000, 1024)
	require.NoError(t, err)
	require.Equal(t, 6, n)
	_, err = load.WorkersFor(10, 64)
	require.ErrorContains(t, err, "ulimit -n")
	_, err = load.WorkersFor(1_000_000, 1024)
	require.ErrorContains(t, err, "ulimit -n")
}

func TestShortagesAreSaidFirst(t *testing.T) {
	require.Empty(t, shortages("s", 15_000, 20_000, 1<<30))
	require.Empty(t, shortages("s", 1_000_000, 0, 16<<30), "a table for each loop, and memory enough")
	both := shortages("s", 1_000_000, 20_000, 4<<30)
	require.Len(t, both, 2)
	require.Contains(t, both[0].Message, "too few for 1000000 connections")
	require.Contains(t, both[0].Advice, "--conns 19950 at most")
	require.Contains(t, both[1].Message, "1000000 connections take 7.92 GiB of memory at least, and 4.00 GiB are available")
}

// Ctrl-C ends the context: what was measured until then stays.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "echo")
	o := quick(t, "echo", url)
	o.Duration = 30 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := time.Now()
	r, err := Run(ctx, o, &listener{sample: func(s report.Sample) {
		if s.Phase == "throughput" && s.At > 1.5 && s.Received > 0 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, ErrFaults)
	require.True(t, r.Interrupted)
	require.False(t, r.Complete)
	require.Less(t, time.Since(begun), 20*time.Second)
	require.Empty(t, r.Targets[0].Faults, "an interruption is no fault of the server")
	require.Positive(t, value(t, r.Targets[0], "throughput"))
	require.NotEmpty(t, r.Targets[0].Timeline)
	require.NotEmpty(t, r.Targets[0].Client.CPU)
}

func TestClientProcessDies(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "echo")
	o := quick(t, "echo", url)
	o.Duration = 30 * time.Second
	// A client command that ends by itself after a while.
	o.Client = []string{"timeout", "-s", "KILL", "2", o.Client[0], o.Client[1]}
	target, _, err := run(t, o, &listener{})
	require.ErrorIs(t, err, ErrFaults)
	require.Contains(t, target.Faults[0].Message, "a client process ended before it was done")
}

func TestValidateReportsAllFaults(t *testing.T) {
	o := quick(t, "echo", "ws://127.0.0.1:9/ws")
	o.Targets, o.Spawn = nil, []string{"nginx"}
	o.Conns, o.Size, o.Steps, o.Rounds, o.Rate, o.MsgRate = 0, 8, 1, 0, -1, -1
	o.Duration, o.Warmup, o.Timeout = -1, -1, 0
	o.SlowShare, o.Churn, o.Clients, o.InFlight = 2, -1, -1, []int{0}
	o.PID = 7
	err := o.Validate()
	require.Error(t, err)
	for _, flag := range []string{"--spawn nginx", "--conns 0", "--size 8", "--steps 1", "--rounds 0", "--rate -1", "--msg-rate -1",
		"--duration", "--warmup", "--timeout", "--slow-share 2", "--churn -1", "--clients -1", "--in-flight 0", "--pid"} {
		require.ErrorContains(t, err, flag)
	}
	require.Equal(t, 15, len(strings.Split(err.Error(), "\n")))
	o = quick(t, "echo", "")
	o.Targets = nil
	require.ErrorContains(t, o.Validate(), "either --target")
	o.Targets, o.PID = []string{"ws://a/", "ws://b/"}, 7
	require.ErrorContains(t, o.Validate(), "single --target")
	o.PID = 0
	o.Targets = []string{"ws://a/", "http://b/", "ws://:80/", "ws://c:99999/"}
	err = o.Validate()
	for _, target := range o.Targets[1:] {
		require.ErrorContains(t, err, "--target "+target)
	}
	require.NotContains(t, err.Error(), "ws://a/")
}

// Not a number compares with nothing, and must not slip through a comparison.
func TestValidateRefusesWhatIsNoNumber(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		o := quick(t, "slow", "ws://127.0.0.1:9/ws")
		o.Rate, o.MsgRate, o.SlowShare, o.Churn = v, v, v, v
		err := o.Validate()
		for _, flag := range []string{"--rate", "--msg-rate", "--slow-share", "--churn"} {
			require.ErrorContains(t, err, flag)
		}
	}
}

// What a scenario has no use for is not held against its user, and what it
// cannot do without is.
func TestValidateByScenario(t *testing.T) {
	for _, s := range Scenarios() {
		o := quick(t, s.Name, "ws://127.0.0.1:9/ws")
		o.Conns, o.Steps = 1, s.Defaults.Steps
		if s.Name == "idle" {
			require.ErrorContains(t, o.Validate(), "no more than --conns")
			continue
		}
		require.NoError(t, o.Validate(), s.Name)
		o.Duration = 0
		require.ErrorContains(t, o.Validate(), "--duration 0s", s.Name)
		o.Duration, o.Rounds, o.Targets, o.Spawn = time.Second, 2, nil, []string{"limpet"}
		require.ErrorContains(t, o.Validate(), "--rounds 2", s.Name)
	}
}
