package tracetest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is what the collector was told of a span.
type Span struct {
	Trace, ID, Parent string // lower-case hexadecimal; Parent is empty for a root
	Name              string
	Kind              string // as SPAN_KIND_SERVER
	Failed            bool
	Took              time.Duration
	Attributes        map[string]string
	Resource          map[string]string // of who sent it
}

// Collector takes spans. Its methods may be called from any goroutine.
type Collector struct {
	URL    string
	Refuse atomic.Bool // answers 400, after which nobody tries again
	Hang   atomic.Bool // does not answer until the caller gives up
	server *httptest.Server

	mu    sync.Mutex
	spans []Span
}

// Start returns a collector that ends with the test.
func Start(t testing.TB) *Collector {
	c := &Collector{}
	c.server = httptest.NewServer(http.HandlerFunc(c.serve))
	c.URL = c.server.URL
	t.Cleanup(c.server.Close)
	return c
}

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	switch {
	case c.Hang.Load():
		<-r.Context().Done()
		return
	case c.Refuse.Load():
		w.WriteHeader(http.StatusBadRequest)
		return
	case r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf":
		http.Error(w, "want spans", http.StatusNotFound)
		return
	}
	var request collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(data, &request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.take(&request)
	answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

func (c *Collector) take(request *collector.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, from := range request.GetResourceSpans() {
		resource := map[string]string{}
		for _, a := range from.GetResource().GetAttributes() {
			resource[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, scope := range from.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				span := Span{
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Name: s.GetName(), Kind: s.GetKind().String(), Failed: s.GetStatus().GetCode() == 2,
					Took:       time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()),
					Attributes: map[string]string{}, Resource: resource,
				}
				for _, a := range s.GetAttributes() {
					span.Attributes[a.GetKey()] = strings.Trim(a.GetValue().String(), " ")
				}
				c.spans = append(c.spans, span)
			}
		}
	}
}

// Spans are those that have come.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Await returns the spans of one trace by name, once those of all names have
// come; it fails the test when they do not within limit.
func (c *Collector) Await(t testing.TB, limit time.Duration, trace string, names ...string) map[string]Span {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		found := map[string]Span{}
		for _, s := range c.Spans() {
			if s.Trace == trace {
				found[s.Name] = s
			}
		}
		missing := ""
		for _, name := range names {
			if _, ok := found[name]; !ok {
				missing = name
			}
		}
		if missing == "" {
			return found
		}
		if time.Now().After(end) {
			t.Fatalf("no span %q in trace %s; there are %+v", missing, trace, c.Spans())
		}
	}
}
