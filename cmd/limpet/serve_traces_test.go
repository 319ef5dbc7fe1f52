package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/limpet-gateway/limpet/internal/tracing/tracetest"
	"github.com/limpet-gateway/limpet/registry/redisdir/redistest"
)

// The traces of the three ways into a node, as their senders name them.
const (
	clientTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	serviceTrace = "0af7651916cd43dd8448eb211c80319c"
	apiTrace     = "11111111111111111111111111111111"
	callerSpan   = "00f067aa0ba902b7"
)

// pushTraced pushes through HTTP as part of apiTrace.
func (p *process) pushTraced(body string) {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.API+"/v1/push", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Traceparent", traceparent(apiTrace))
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != http.StatusOK {
		p.t.Fatalf("%v %v", answer, err)
	}
	answer.Body.Close()
}

func traceparent(trace string) string { return "00-" + trace + "-" + callerSpan + "-01" }

// One trace leads from a client's message to who consumes it, one from a
// service's push, by Kafka or HTTP, to the socket; a collector has them, with
// nothing of what they carried.
func TestTraces(t *testing.T) {
	t.Parallel()
	collector := tracetest.Start(t)
	p := startProcess(t, 0, "--trace-endpoint="+collector.URL, "--trace-sample=0", "--auth=jwt", "--jwt-secret="+jwtSecret)
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+p.Listen+"/ws", http.Header{
		"Traceparent": {traceparent(clientTrace)}, "Tracestate": {"vendor=1"}, "Authorization": {"Bearer " + token(t, "dev1", time.Hour)},
	})
	if err != nil {
		t.Fatalf("%v %v", err, resp)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if err := c.WriteMessage(websocket.TextMessage, []byte("secret-up")); err != nil {
		t.Fatal(err)
	}

	// The consumer finds the trace in the record's headers.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Kafka...), kgo.ConsumeTopics("limpet.uplink"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	fetches := client.PollFetches(ctx)
	if err := fetches.Err(); err != nil || fetches.NumRecords() != 1 {
		t.Fatalf("%d records, %v", fetches.NumRecords(), err)
	}
	headers := map[string]string{}
	for _, h := range fetches.Records()[0].Headers {
		headers[h.Key] = string(h.Value)
	}
	spans := collector.Await(t, patience, clientTrace, "upgrade", "authenticate", "message", "limpet.uplink publish")
	if want := "00-" + clientTrace + "-" + spans["limpet.uplink publish"].ID + "-01"; headers["traceparent"] != want || headers["tracestate"] != "vendor=1" {
		t.Errorf("the record has %q, %q; want %q", headers["traceparent"], headers["tracestate"], want)
	}
	wantParents(t, spans, map[string]string{
		"upgrade": "", "authenticate": "upgrade", "message": "", "limpet.uplink publish": "message",
	})

	// A service's push, through Kafka.
	record := &kgo.Record{Topic: "limpet.downlink", Value: []byte("secret-down"), Headers: []kgo.RecordHeader{
		{Key: "limpet-to", Value: []byte("user:dev1")}, {Key: "traceparent", Value: []byte(traceparent(serviceTrace))},
	}}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.ReadMessage(); err != nil || string(got) != "secret-down" {
		t.Fatalf("got %q, %v", got, err)
	}
	wantParents(t, collector.Await(t, patience, serviceTrace, "route", "deliver"), map[string]string{"route": "", "deliver": "route"})

	// And through HTTP.
	p.pushTraced(`{"to":"user:dev1","data":"secret-api"}`)
	wantParents(t, collector.Await(t, patience, apiTrace, "POST /v1/push", "route", "deliver"),
		map[string]string{"POST /v1/push": "", "route": "POST /v1/push", "deliver": "route"})

	// What nobody asked for is not traced, and no span tells what was said or by whom.
	for _, s := range collector.Spans() {
		if s.Trace != clientTrace && s.Trace != serviceTrace && s.Trace != apiTrace {
			t.Errorf("a trace of its own with a share of 0: %+v", s)
		}
		for key, value := range s.Attributes {
			if strings.Contains(value, "secret") || strings.Contains(value, "dev1") || strings.Contains(value, "Bearer") {
				t.Errorf("span %s tells %s = %s", s.Name, key, value)
			}
		}
	}
	_, values := p.scrape()
	for series, want := range map[string]float64{
		`limpet_traces_total{by="client",result="followed"}`:  2, // its handshake and its message
		`limpet_traces_total{by="service",result="followed"}`: 2,
		`limpet_traces_total{by="node",result="followed"}`:    0,
		`limpet_trace_spans_total{result="dropped"}`:          0,
	} {
		if got, ok := values[series]; !ok || got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
}

// wantParents checks whose child each span is; "" stands for the sender's.
func wantParents(t *testing.T, spans map[string]tracetest.Span, parents map[string]string) {
	t.Helper()
	for name, parent := range parents {
		want := callerSpan
		if parent != "" {
			want = spans[parent].ID
		}
		if got := spans[name].Parent; got != want {
			t.Errorf("%s is below %s, want %s (%s)", name, got, want, parent)
		}
	}
}

// A push that is told to one node, and is for a session of another, has one
// trace to the socket there, whatever carries it.
func TestTracesAcrossNodes(t *testing.T) {
	t.Parallel()
	for bus, way := range map[string]string{
		"kafka": "POST /v1/push of n1, route of n1, limpet.inbox publish of n1, route of n2, deliver of n2",
		"redis": "POST /v1/push of n1, route of n1, route of n2, deliver of n2",
	} {
		t.Run(bus, func(t *testing.T) {
			t.Parallel()
			collector := tracetest.Start(t)
			nodes := startCluster(t, 2, "--bus="+bus, "--redis="+redistest.Start(t).URL(), "--trace-endpoint="+collector.URL, "--trace-sample=0")
			a, b := nodes[0], nodes[1]
			bob := b.mustDial("bob")
			a.awaitAnswer("GET", "/v1/users/bob", "", `"node":"n2"`)
			a.pushTraced(`{"to":"user:bob","data":"far"}`)
			b.read(bob, "far")
			for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				got := wayTo(collector.Spans(), "deliver")
				if got == way {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the way to the socket is %q, want %q", got, way)
				}
			}
		})
	}
}

// wayTo names the spans that lead to the one with that name, and whose they are.
func wayTo(spans []tracetest.Span, name string) string {
	at := slices.IndexFunc(spans, func(s tracetest.Span) bool { return s.Trace == apiTrace && s.Name == name })
	var way []string
	for at >= 0 {
		s := spans[at]
		way = append([]string{s.Name + " of " + s.Resource["service.instance.id"]}, way...)
		at = slices.IndexFunc(spans, func(other tracetest.Span) bool { return other.ID == s.Parent })
	}
	return strings.Join(way, ", ")
}
