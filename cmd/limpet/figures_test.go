package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// The figures of the bridge, of whole processes on one machine that clients,
// gateway and broker share: make bench-bridge prints them. Latencies count from
// the moment at which a message should have been sent.

// BenchmarkUplink: how many messages of 128 B per second reach the embedded
// broker from 50 clients, with 16 frames in a segment and with one? A message
// counts when Kafka has it; the benchmark fails when one is missing.
func BenchmarkUplink(b *testing.B) {
	for _, frames := range []int{16, 1} {
		b.Run(fmt.Sprintf("frames=%d", frames), func(b *testing.B) { benchmarkUplink(b, frames) })
	}
}

const (
	uplinkClients = 50
	uplinkWindow  = 12_000 // messages under way: fewer than the queue of one worker takes
)

func benchmarkUplink(b *testing.B, frames int) {
	p := startProcess(b, 0, "--drain-window=0s", "--events=false", "--broker-size=512MiB")
	segment := make([]byte, 0, frames*140)
	for range frames {
		segment = append(segment, ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(make([]byte, 128))))...)
	}
	total := int64(max(b.N/frames, uplinkClients)) * int64(frames)
	var sent, acked atomic.Int64
	ctx, stop := context.WithTimeout(context.Background(), 4*patience)
	defer stop()
	go p.followAcked(ctx, &acked)
	var clients sync.WaitGroup
	conns := make([]*websocket.Conn, uplinkClients)
	for i := range conns {
		conns[i] = p.mustDial(fmt.Sprint("bench", i))
	}
	b.SetBytes(128)
	b.ResetTimer()
	for _, c := range conns {
		clients.Go(func() {
			raw := c.NetConn()
			for sent.Add(int64(frames)) <= total {
				for sent.Load()-acked.Load() > uplinkWindow && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				if _, err := raw.Write(segment); err != nil || ctx.Err() != nil {
					b.Error(err, ctx.Err())
					return
				}
			}
		})
	}
	clients.Wait()
	for deadline := time.Now().Add(patience); acked.Load() < total && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	took := b.Elapsed()
	b.StopTimer()
	if got := p.records("limpet.uplink"); got != total {
		b.Errorf("%d messages sent, %d are in Kafka", total, got)
	}
	b.ReportMetric(float64(total)/took.Seconds(), "msg/s")
	b.ReportMetric(0, "ns/op")
}

// followAcked keeps acked at the number of messages that Kafka acknowledged.
func (p *process) followAcked(ctx context.Context, acked *atomic.Int64) {
	for ctx.Err() == nil {
		answer, err := http.Get("http://" + p.API + "/v1/stats")
		if err != nil {
			return
		}
		var stats struct{ Uplink bridge.UplinkStats }
		_ = json.NewDecoder(answer.Body).Decode(&stats)
		_ = answer.Body.Close()
		acked.Store(int64(stats.Uplink.Acked))
		time.Sleep(5 * time.Millisecond)
	}
}

// records is the number of records ever written to a topic.
func (p *process) records(topic string) (n int64) {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Kafka...))
	if err != nil {
		p.t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(context.Background(), topic)
	if err != nil {
		p.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

// BenchmarkPushHTTP: how long does a push take from an HTTP request to the
// client, at 2,000 per second, on the node that holds the session?
func BenchmarkPushHTTP(b *testing.B) {
	p := startProcess(b, 0, "--drain-window=0s")
	measurePushes(b, []*websocket.Conn{p.mustDial("a")}, 2000, func(_ int, payload string) error {
		answer, err := pushClient.Post("http://"+p.API+"/v1/push", "application/json", strings.NewReader(`{"to":"user:a","data":"`+payload+`"}`))
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("push: %s", answer.Status)
		}
		return nil
	})
}

var pushClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, MaxConnsPerHost: 32}}

// BenchmarkPushAcrossNodes: how long does a push take from the topic downlink
// to a client of the other of two nodes, at 500 per second? Both nodes consume
// the topic; half of the records arrive at the node that has to pass them on:
// with a directory to the inbox of the other one, without to all.
func BenchmarkPushAcrossNodes(b *testing.B) {
	b.Run("inbox", func(b *testing.B) { benchmarkAcrossNodes(b, "--redis="+redistest.Start(b).URL()) })
	b.Run("broadcast", func(b *testing.B) { benchmarkAcrossNodes(b) })
}

func benchmarkAcrossNodes(b *testing.B, args ...string) {
	nodes := startCluster(b, 2, args...)
	client, err := kgo.NewClient(kgo.SeedBrokers(nodes[0].Kafka...), kgo.ProducerLinger(0))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	awaitMembers(b, client, "limpet.downlink", 2)
	var conns []*websocket.Conn
	for i := range 16 {
		name := fmt.Sprint("u", i)
		conns = append(conns, nodes[i%2].mustDial(name))
		for end := time.Now().Add(patience); len(args) > 0 && nodes[(i+1)%2].get("/v1/users/"+name, new(any)) != http.StatusOK; {
			if time.Now().After(end) {
				b.Fatalf("the other node does not learn of %s", name)
			}
			time.Sleep(time.Millisecond)
		}
	}
	measurePushes(b, conns, 500, func(n int, payload string) error {
		p := bridge.Push{To: bridge.Target{Kind: bridge.ToUser, Name: fmt.Sprint("u", n%16)}, Opcode: session.Text, Payload: []byte(payload)}
		return client.ProduceSync(context.Background(), p.Record("limpet.downlink", time.Now())).FirstErr()
	})
	var forwarded, spread uint64
	for _, p := range nodes {
		var stats struct{ Router bridge.RouterStats }
		p.get("/v1/stats", &stats)
		forwarded, spread = forwarded+stats.Router.Forwarded, spread+stats.Router.Spread
	}
	if inboxes := len(args) > 0; inboxes != (forwarded > 0) || inboxes == (spread > 0) {
		b.Errorf("with %v: %d forwarded, %d given to all nodes", args, forwarded, spread)
	}
}

// get decodes what the API answers to path.
func (p *process) get(path string, v any) (status int) {
	p.t.Helper()
	answer, err := http.Get("http://" + p.API + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(v); err != nil {
		p.t.Fatal(err)
	}
	return answer.StatusCode
}

// measurePushes sends pushes at rate per second, whatever becomes of them, and
// reports the percentiles of their way to conns. A payload is its intended time.
func measurePushes(b *testing.B, conns []*websocket.Conn, rate int, send func(n int, payload string) error) {
	const warmup = 500
	total := max(b.N, 2*warmup)
	latencies := make(chan time.Duration, total)
	for _, c := range conns {
		go func() {
			for {
				_, payload, err := c.ReadMessage()
				if err != nil {
					return
				}
				at, err := parseTime(payload)
				if err != nil {
					b.Error(err)
					return
				}
				latencies <- time.Since(at)
			}
		}()
	}
	var sending sync.WaitGroup
	begin := time.Now()
	for n := range total {
		due := begin.Add(time.Duration(n) * time.Second / time.Duration(rate))
		sleepUntil(due)
		sending.Go(func() {
			if err := send(n, formatTime(due)); err != nil {
				b.Error(err)
			}
		})
	}
	sending.Wait()
	var all []time.Duration
	for len(all) < total {
		select {
		case d := <-latencies:
			all = append(all, d)
		case <-time.After(patience):
			b.Fatalf("%d of %d pushes arrived", len(all), total)
		}
	}
	all = all[warmup:]
	slices.Sort(all)
	for _, p := range []float64{50, 99, 99.9} {
		d := all[min(int(float64(len(all))*p/100), len(all)-1)]
		b.ReportMetric(float64(d.Microseconds())/1000, fmt.Sprintf("p%v-ms", p))
	}
	b.ReportMetric(0, "ns/op")
}

// sleepUntil ends within some 60 µs of due where the machine has time: the
// runtime's own timers are up to a millisecond late when nothing else happens,
// which would be most of what is measured.
func sleepUntil(due time.Time) {
	left := time.Until(due)
	if left <= 0 {
		return
	}
	wait := unix.NsecToTimespec(left.Nanoseconds())
	_ = unix.Nanosleep(&wait, nil)
}

func formatTime(t time.Time) string { return fmt.Sprintf("%016x", t.UnixNano()) }

func parseTime(text []byte) (time.Time, error) {
	nanos, err := strconv.ParseInt(string(text), 16, 64)
	return time.Unix(0, nanos), err
}
