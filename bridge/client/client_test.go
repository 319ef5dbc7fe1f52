package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/limpet-gateway/limpet/bridge"
	"github.com/limpet-gateway/limpet/bridge/embedded"
	"github.com/limpet-gateway/limpet/internal/session"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

var topics = bridge.NewTopics("limpet.")

func startBroker(t *testing.T) []string {
	t.Helper()
	b, err := embedded.Start(embedded.Config{Topics: []embedded.Topic{{Name: topics.Uplink, Partitions: 3}, {Name: topics.Downlink, Partitions: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return []string{b.Addr()}
}

func startUplink(t *testing.T, brokers []string) *bridge.Uplink {
	t.Helper()
	u, err := bridge.NewUplink(testContext(t), bridge.UplinkConfig{Kafka: bridge.Kafka{Brokers: brokers}, Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close(testContext(t)) })
	return u
}

func accept(t *testing.T, u *bridge.Uplink, principal string, op session.Opcode, payload string) {
	t.Helper()
	m := bridge.Message{Session: session.ID{Incarnation: 1, Slot: 2, Generation: 3}, Principal: []byte(principal), Opcode: op, Payload: []byte(payload)}
	if v := u.Accept(m); v != bridge.Accepted {
		t.Fatalf("Accept: %v", v)
	}
}

// tail runs Tail until n messages have come, and sends what send does once it
// is ready.
func tail(t *testing.T, o TailOptions, send func()) (lines []string) {
	t.Helper()
	o.Ready = send
	err := Tail(testContext(t), o, func(m *Message) error {
		line := string(m.AppendLine(nil))
		_, line, _ = strings.Cut(line, " ") // the time
		lines = append(lines, strings.TrimSuffix(line, "\n"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestTail(t *testing.T) {
	brokers := startBroker(t)
	u := startUplink(t, brokers)
	accept(t, u, "dev1", session.Text, "before")
	if err := u.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	o := TailOptions{Brokers: brokers, Topics: topics, Limit: 3}
	got := tail(t, o, func() {
		accept(t, u, "dev1", session.Text, "hello")
		accept(t, u, "dev1", session.Text, "\x1b[2Jcleared")
		accept(t, u, "dev1", session.Binary, "\x00\xff\x10")
	})
	want := []string{"dev1 text hello", `dev1 text "\x1b[2Jcleared"`, "dev1 binary 00ff10 (3 bytes)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("from now (-want +got):\n%s", diff)
	}
	o.FromBeginning = true
	got = tail(t, o, func() {})
	if want := append([]string{"dev1 text before"}, want[:2]...); cmp.Diff(want, got) != "" {
		t.Errorf("from the beginning (-want +got):\n%s", cmp.Diff(want, got))
	}
	o.Principal, o.Limit = "dev2", 1
	got = tail(t, o, func() { accept(t, u, "dev2", session.Text, "mine") })
	if diff := cmp.Diff([]string{"dev2 text mine"}, got); diff != "" {
		t.Errorf("of one principal (-want +got):\n%s", diff)
	}
}

// Who tails a broker that ends is told, once.
func TestTailSaysThatKafkaIsAway(t *testing.T) {
	b, err := embedded.Start(embedded.Config{Topics: []embedded.Topic{{Name: topics.Uplink, Partitions: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	var told atomic.Int32
	o := TailOptions{Brokers: []string{b.Addr()}, Topics: topics, Ready: b.Close}
	o.Away = func(err error) {
		if told.Add(1); err == nil {
			t.Error("nothing says why")
		}
		time.AfterFunc(time.Second, cancel) // time for more attempts
	}
	if err := Tail(ctx, o, func(*Message) error { return errors.New("a message from nowhere") }); err != nil {
		t.Errorf("Tail: %v, want nil", err)
	}
	if n := told.Load(); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
}

func TestTailEndsWithItsContext(t *testing.T) {
	o := TailOptions{Brokers: startBroker(t), Topics: topics}
	ctx, cancel := context.WithCancel(testContext(t))
	o.Ready = cancel
	if err := Tail(ctx, o, func(*Message) error { return errors.New("a message from nowhere") }); err != nil {
		t.Errorf("Tail: %v, want nil", err)
	}
}

func TestAppendJSON(t *testing.T) {
	at := time.Date(2026, 11, 22, 13, 5, 7, 42e6, time.UTC)
	text := Message{Time: at, Principal: "dev1", Session: "s", Node: "n1", Opcode: "text", Priority: "high", Payload: []byte(`say "hi"`), Partition: 2, Offset: 7}
	binary := Message{Time: at, Principal: "d", Opcode: "binary", Payload: []byte{0, 255}}
	broken := Message{Time: at, Principal: "d", Opcode: "text", Payload: []byte{0xff}}
	for want, m := range map[string]Message{
		`{"time":"2026-11-22T13:05:07.042Z","principal":"dev1","session":"s","node":"n1","opcode":"text","priority":"high","data":"say \"hi\"","partition":2,"offset":7}`: text,
		`{"time":"2026-11-22T13:05:07.042Z","principal":"d","opcode":"binary","data_base64":"AP8=","partition":0,"offset":0}`:                                             binary,
		`{"time":"2026-11-22T13:05:07.042Z","principal":"d","opcode":"text","data_base64":"/w==","partition":0,"offset":0}`:                                               broken,
	} {
		got, err := m.AppendJSON(nil)
		if err != nil || string(got) != want+"\n" {
			t.Errorf("got  %swant %s (%v)", got, want, err)
		}
	}
}

func TestLongBinaryIsCut(t *testing.T) {
	m := Message{Principal: "d", Opcode: "binary", Payload: make([]byte, 1000)}
	if line := string(m.AppendLine(nil)); len(line) > 200 || !strings.HasSuffix(line, "... (1000 bytes)\n") {
		t.Errorf("line %q", line)
	}
}

func TestPush(t *testing.T) {
	brokers := startBroker(t)
	p := &bridge.Push{To: bridge.Target{Kind: bridge.ToUser, Name: "dev1"}, Opcode: session.Text, ID: "i", Payload: []byte("hello")}
	at, err := Push(testContext(t), brokers, topics, p)
	if err != nil || at.Topic != "limpet.downlink" || at.Offset != 0 {
		t.Fatalf("Push: %+v, %v", at, err)
	}
	second, err := Push(testContext(t), brokers, topics, p)
	if err != nil || second.Partition != at.Partition || second.Offset != 1 {
		t.Errorf("second push to the same principal: %+v, %v; want the same partition", second, err)
	}
	p.Payload = []byte{0xff}
	if _, err := Push(testContext(t), brokers, topics, p); !errors.Is(err, ErrNotText) {
		t.Errorf("text that is not UTF-8: %v, want ErrNotText", err)
	}
}

func TestWordsForWhatIsMissing(t *testing.T) {
	brokers := startBroker(t)
	p := &bridge.Push{To: bridge.Target{Kind: bridge.ToAll}, Opcode: session.Text}
	if _, err := Push(testContext(t), brokers, bridge.NewTopics("other."), p); err == nil || !strings.Contains(err.Error(), "other.downlink does not exist") {
		t.Errorf("no topic: %v", err)
	}
	nobody := []string{closedPort(t)}
	if _, err := Push(testContext(t), nobody, topics, p); err == nil || !strings.Contains(err.Error(), "no Kafka broker answers at ["+nobody[0]+"]") {
		t.Errorf("no broker: %v", err)
	}
}

func TestDiscover(t *testing.T) {
	answer := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/info" || r.Header.Get("Authorization") != "Bearer secret" {
				status = http.StatusTeapot
			}
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	info, err := Discover(testContext(t), answer(200, `{"node":"n1","version":"v","kafka":["h:1","h:2"],"topic_prefix":"x."}`), "secret")
	want := Info{Node: "n1", Version: "v", Kafka: []string{"h:1", "h:2"}, TopicPrefix: "x."}
	if err != nil || cmp.Diff(want, info) != "" || info.Topics().Uplink != "x.uplink" {
		t.Errorf("%+v, %v; want %+v", info, err, want)
	}
	if _, err := Discover(testContext(t), answer(200, `{"node":"n1"}`), "secret"); !errors.Is(err, ErrNoKafka) {
		t.Errorf("without Kafka: %v, want ErrNoKafka", err)
	}
	if _, err := Discover(testContext(t), answer(503, ``), "secret"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("refused: %v, want the status", err)
	}
}

// closedPort is an address of loopback on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
