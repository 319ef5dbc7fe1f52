package redisdir

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/limpet-gateway/limpet/internal/histogram"
	"github.com/redis/rueidis"
)

// link is the way to Redis: every call has a deadline, none is repeated
// behind the caller's back, and each outcome is counted.
type link struct {
	url     string
	timeout time.Duration
	counted func(calls, fails int) // may be nil

	client atomic.Pointer[rueidis.Client] // nil until the first contact

	calls, fails atomic.Uint64
	failure      atomic.Pointer[error]
	trips        histogram.Durations // of round trips, those that failed included
	pipeline     histogram.Sizes     // commands of each
}

// errNotConnected is the outcome of a call before the first contact.
var errNotConnected = errors.New("not connected to Redis yet")

// Buffers of each of rueidis' connections; its defaults are 512 KiB each way.
const (
	connBuffer   = 64 << 10
	multiplex    = 1 // two connections to each server
	refreshEvery = 2 * time.Second
)

func clientOption(url string, timeout time.Duration) (rueidis.ClientOption, error) {
	if url == "" {
		return rueidis.ClientOption{}, errors.New("no URL")
	}
	o, err := rueidis.ParseURL(url)
	if err != nil {
		return o, err
	}
	o.DisableCache = true // every lookup must see the present
	o.DisableRetry = true // a write that is sent twice has two deadlines
	o.ClientName = "limpet"
	o.ReadBufferEachConn = connBuffer
	o.WriteBufferEachConn = connBuffer
	o.PipelineMultiplex = multiplex
	o.Dialer.Timeout = timeout
	o.Dialer.KeepAlive = refreshEvery
	// A connection that owes an answer for so long is closed: a call that its
	// sender has given up must not hold up the calls behind it.
	o.ConnWriteTimeout = 2 * timeout
	o.Sentinel.TopologyRefreshInterval = refreshEvery
	o.Sentinel.Dialer = o.Dialer
	o.Sentinel.Username, o.Sentinel.Password, o.Sentinel.TLSConfig = o.Username, o.Password, o.TLSConfig
	o.ClusterOption.ShardsRefreshInterval = refreshEvery
	return o, nil
}

// connect makes first contact, once.
func (l *link) connect() error {
	if l.client.Load() != nil {
		return nil
	}
	o, err := clientOption(l.url, l.timeout)
	if err != nil {
		return err
	}
	c, err := rueidis.NewClient(o)
	if err != nil {
		if c != nil {
			c.Close()
		}
		return err
	}
	l.client.Store(&c)
	return nil
}

func (l *link) close() {
	if c := l.client.Swap(nil); c != nil {
		(*c).Close()
	}
}

// clustered reports whether keys of different buckets may live on different
// servers, so that one script cannot touch both.
func (l *link) clustered() bool {
	c := l.client.Load()
	return c != nil && (*c).Mode() == rueidis.ClientModeCluster
}

// do sends commands in one pipeline under one deadline. build is given the
// client and returns the commands; the results come in their order.
func (l *link) do(ctx context.Context, build func(rueidis.Client) []rueidis.Completed) []rueidis.RedisResult {
	c := l.client.Load()
	if c == nil {
		return []rueidis.RedisResult{rueidis.NewErrorResult(errNotConnected)}
	}
	cmds := build(*c)
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	begun := time.Now()
	results := (*c).DoMulti(ctx, cmds...)
	l.trips.Observe(time.Since(begun))
	l.pipeline.Observe(len(cmds))
	fails := 0
	for _, r := range results {
		if err := r.Error(); failed(err) {
			if fails++; fails == 1 {
				l.failure.Store(&err)
			}
		}
	}
	l.count(len(results), fails)
	return results
}

// lastFailure is why the last call that failed did, or nil.
func (l *link) lastFailure() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *link) count(calls, fails int) {
	l.calls.Add(uint64(calls))
	l.fails.Add(uint64(fails))
	if l.counted != nil {
		l.counted(calls, fails)
	}
}

// one is do for a single command.
func (l *link) one(ctx context.Context, build func(rueidis.Builder) rueidis.Completed) rueidis.RedisResult {
	return l.do(ctx, func(c rueidis.Client) []rueidis.Completed {
		return []rueidis.Completed{build(c.B())}
	})[0]
}

// failed reports whether a call counts against the health of Redis: no
// answer in time, or one that says that this server cannot serve. A missing
// key or script is an answer like any other.
func failed(err error) bool {
	if err == nil || rueidis.IsRedisNil(err) {
		return false
	}
	if e, ok := rueidis.IsRedisErr(err); ok && e.IsNoScript() {
		return false
	}
	return !errors.Is(err, context.Canceled)
}

// scriptCall is one run of a script.
type scriptCall struct {
	script *script
	keys   []string
	args   []string
}

// run executes scripts in one pipeline. Where a server does not know a script
// yet, after a restart or a failover, it is sent again in full; the deadline
// inside the arguments stays what it was.
func (l *link) run(ctx context.Context, calls []scriptCall) []rueidis.RedisResult {
	results := l.do(ctx, func(c rueidis.Client) []rueidis.Completed {
		cmds := make([]rueidis.Completed, len(calls))
		for i, call := range calls {
			cmds[i] = call.script.call(c, call.keys, call.args)
		}
		return cmds
	})
	if len(results) != len(calls) { // never connected
		for len(results) < len(calls) {
			results = append(results, results[0])
		}
		return results
	}
	var unknown []int
	for i, r := range results {
		if e, ok := rueidis.IsRedisErr(r.Error()); ok && e.IsNoScript() {
			unknown = append(unknown, i)
		}
	}
	if unknown == nil {
		return results
	}
	again := l.do(ctx, func(c rueidis.Client) []rueidis.Completed {
		cmds := make([]rueidis.Completed, len(unknown))
		for i, n := range unknown {
			cmds[i] = calls[n].script.callInFull(c, calls[n].keys, calls[n].args)
		}
		return cmds
	})
	for i, n := range unknown {
		results[n] = again[min(i, len(again)-1)]
	}
	return results
}

func (l *link) runOne(ctx context.Context, call scriptCall) rueidis.RedisResult {
	return l.run(ctx, []scriptCall{call})[0]
}

// masters returns the run ids of the servers that take writes, each new at
// every start of a server: where the set changes, writes may have been lost.
func (l *link) masters(ctx context.Context) (map[string]bool, error) {
	c := l.client.Load()
	if c == nil {
		return nil, errNotConnected
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	ids := map[string]bool{}
	for addr, node := range (*c).Nodes() {
		text, err := node.Do(ctx, node.B().Info().Section("server", "replication").Build()).ToString()
		if err != nil {
			return nil, fmt.Errorf("ask %s who it is: %w", addr, err)
		}
		if infoField(text, "role") == "master" {
			ids[infoField(text, "run_id")] = true
		}
	}
	return ids, nil
}
