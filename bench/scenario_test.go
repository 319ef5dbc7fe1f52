package bench

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/limpet-gateway/limpet/bench/load"
	"github.com/limpet-gateway/limpet/bench/probe"
	"github.com/limpet-gateway/limpet/bench/report"
	"github.com/limpet-gateway/limpet/bench/target"
)

func itoa(n int) string { return strconv.Itoa(n) }

func newProc() probe.Proc { return probe.Host() }

// Each scenario against a real server, small: it completes, and its figures
// are there and within what is possible.
func TestScenarios(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
		check  func(t *testing.T, target *report.Target)
	}{
		{"connect", nil, func(t *testing.T, target *report.Target) {
			require.Greater(t, value(t, target, "connect_rate"), 100.0)
			require.GreaterOrEqual(t, value(t, target, "connect_max"), value(t, target, "connect_p50"))
		}},
		{"echo", func(o *Options) { o.Clients = 2 }, func(t *testing.T, target *report.Target) {
			require.Equal(t, 2, target.Client.Processes)
			require.Greater(t, value(t, target, "throughput"), 500.0)
			require.Greater(t, value(t, target, "cpu_per_message"), 1e-6)
			require.Less(t, value(t, target, "cpu_per_message"), 1e-2)
			require.Len(t, target.Phases, 2)
			require.NotEmpty(t, target.Latencies[0].HDR)
		}},
		{"fanout", func(o *Options) { o.InFlight = []int{1, 3}; o.Conns = 100; o.Clients = 2 }, func(t *testing.T, target *report.Target) {
			require.NotEmpty(t, target.Broadcasts)
			for _, b := range target.Broadcasts {
				require.Equal(t, 100, b.Delivered)
				require.Positive(t, b.TookNanos)
			}
			require.Positive(t, value(t, target, "fanout_1_rate"))
			require.Positive(t, value(t, target, "fanout_3_last_p50"))
		}},
		{"storm", func(o *Options) { o.Duration = 20 * time.Second }, func(t *testing.T, target *report.Target) {
			require.Positive(t, value(t, target, "storm_all_back"))
			require.GreaterOrEqual(t, value(t, target, "storm_rss_peak"), value(t, target, "storm_rss_before")*0.9)
			require.EqualValues(t, 200, target.Phases[0].Messages)
		}},
		{"slow", func(o *Options) { o.Conns, o.MsgRate, o.SlowShare = 50, 300, 0.2 }, func(t *testing.T, target *report.Target) {
			require.Equal(t, 10.0, value(t, target, "slow_clients"))
			require.Positive(t, value(t, target, "slow_others_p99"))
		}},
		{"slow", func(o *Options) { o.Conns, o.MsgRate, o.SlowShare = 10, 300, 0.04 }, func(t *testing.T, target *report.Target) {
			require.Zero(t, value(t, target, "slow_clients"), "0.4 of a client is none")
			_, per := target.Figure("slow_rss_per_client")
			require.False(t, per)
		}},
		{"soak", func(o *Options) { o.Duration, o.MsgRate, o.Churn = 9*time.Second, 200, 20 }, func(t *testing.T, target *report.Target) {
			require.Greater(t, value(t, target, "soak_churned"), 50.0)
			require.Greater(t, value(t, target, "soak_answered"), 1000.0)
			f, ok := target.Figure("soak_rss_slope")
			require.True(t, ok)
			require.Less(t, f.Low, f.High)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, _ := start(t, "echo")
			o := quick(t, c.name, url)
			o.MsgRate = 500
			if c.change != nil {
				c.change(&o)
			}
			target, result, err := run(t, o, &listener{})
			require.NoError(t, err, "%+v", target.Faults)
			require.True(t, result.Complete)
			require.Empty(t, target.Errors)
			c.check(t, target)
			require.Positive(t, target.Client.CPU)
			require.NotEmpty(t, target.Timeline)
		})
	}
}

// A soak that is too short for a slope says so instead of leaving it out.
func TestShortSoakSaysWhatIsMissing(t *testing.T) {
	for readings, want := range map[int]int{minSteps - 1: 1, minSteps: 0} {
		tr := &trial{opt: &Options{Duration: time.Second}, server: &target.Server{PID: 1}, out: &report.Target{}}
		var line series
		for i := range readings {
			line.add(float64(i), 1e6)
		}
		tr.soakFigures(line, load.NewHist(), load.TrafficResult{}, time.Second)
		require.Len(t, tr.out.Client.Why, want)
		_, slope := tr.out.Figure("soak_rss_slope")
		require.Equal(t, want == 0, slope)
		if want > 0 {
			require.Contains(t, tr.out.Client.Why[0], "raise --duration")
		}
	}
}

func TestScenariosStateTheirQuestion(t *testing.T) {
	var names []string
	for _, s := range Scenarios() {
		names = append(names, s.Name)
		require.Regexp(t, `\?$`, s.Question)
		require.NotEmpty(t, s.Method)
		o := s.Defaults
		o.Targets = []string{"ws://127.0.0.1:1/"}
		require.NoError(t, o.Validate(), s.Name)
	}
	require.Equal(t, []string{"idle", "connect", "echo", "fanout", "uplink", "storm", "slow", "watched", "soak"}, names)
}

// lossy is an uplink that shows each message but one in ten, and one in
// twenty twice.
type lossy struct{}

func (l lossy) Read(ctx context.Context, ready func(), each func([]byte)) error {
	ready()
	text := func(seq uint64) []byte {
		b, _ := load.Stamp{Seq: seq, Time: load.Now()}.AppendText(nil)
		return b
	}
	for seq := range uint64(1000) {
		if seq%10 == 9 {
			continue
		}
		each(text(seq))
		if seq%20 == 0 {
			each(text(seq))
		}
	}
	each([]byte("not a message of the benchmark"))
	<-ctx.Done()
	return nil
}

func TestUplinkCountsLossesAndDuplicates(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "silent")
	o := quick(t, "uplink", url)
	o.MsgRate, o.Warmup, o.Duration, o.Timeout = 1000, 0, time.Second, 300*time.Millisecond
	server, err := o.start(t.Context(), Scenario{}, url)
	require.NoError(t, err)
	server.API = "unused"
	o.Join.Uplink = func(context.Context, *target.Server) (Reader, error) { return lossy{}, nil }
	out := &report.Target{Errors: map[string]uint64{}}
	tr := &trial{opt: &o, server: server, proc: newProc(), out: out, round: 1, say: t.Logf}
	tr.fleet, err = load.StartFleet(t.Context(), load.FleetConfig{
		Command: o.Client, Addr: server.Addr, Host: server.Host, Target: server.Path, Conns: o.Conns,
	})
	require.NoError(t, err)
	defer tr.fleet.Close()
	tr.rec = startRecorder(server.PID, tr.fleet.Stats, func(report.Sample) {})
	defer tr.rec.close()
	require.ErrorIs(t, uplink(t.Context(), tr), errFaults)
	sent := value(t, out, "uplink_sent")
	require.InDelta(t, 1000, sent, 20)
	require.Equal(t, sent-900, value(t, out, "uplink_lost"))
	require.Equal(t, 50.0, value(t, out, "uplink_duplicates"))
	require.Contains(t, out.Faults[0].Message, "did not reach Kafka")

	out.Figures = nil
	tr.uplinkFigures(newArrivals(), load.TrafficResult{Sent: 1000}, report.Phase{Seconds: 1}, false)
	require.Equal(t, 1000.0, value(t, out, "uplink_sent"))
	_, lost := out.Figure("uplink_lost")
	require.False(t, lost, "what was on its way when the run was interrupted is not lost")
}

// A rate of 0 is the scenario's own.
func TestMessageRateOfTheScenario(t *testing.T) {
	for _, s := range Scenarios() {
		o := Options{Scenario: s.Name}
		o.choose(s)
		require.Equal(t, s.Defaults.MsgRate, o.MsgRate, s.Name)
		o.MsgRate = 7
		o.choose(s)
		require.Equal(t, 7.0, o.MsgRate, s.Name)
	}
}

func TestUplinkNeedsLimpet(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "echo")
	target, _, err := run(t, quick(t, "uplink", url), &listener{})
	require.ErrorIs(t, err, ErrFaults)
	require.Contains(t, target.Faults[0].Advice, "--spawn limpet")
}
