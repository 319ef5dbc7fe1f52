package embedded

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const patience = 30 * time.Second

// request is one in the framing of Kafka: size, key, version, correlation id,
// client id (here none), body.
func request(key, version int16, body string) string {
	head := binary.BigEndian.AppendUint16(nil, uint16(key))
	head = binary.BigEndian.AppendUint16(head, uint16(version))
	head = binary.BigEndian.AppendUint32(head, 7)
	head = binary.BigEndian.AppendUint16(head, 0xffff)
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(head)+len(body)))) + string(head) + body
}

func dial(t *testing.T, b *Broker) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// Whatever comes to the port, the connection ends and nothing else does.
func TestOtherProtocols(t *testing.T) {
	b, err := Start(Config{Topics: testTopics})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	for name, sent := range map[string]string{
		"HTTP":                 "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"TLS":                  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
		"a key nobody knows":   request(999, 0, ""),
		"a negative key":       request(-1, 0, ""),
		"four gibibytes":       "\xff\xff\xff\xff" + request(18, 0, "")[4:],
		"no head":              "\x00\x00\x00\x04abcdefgh",
		"nothing in a request": "\x00\x00\x00\x00" + request(18, 0, ""),
		"after a good request": request(18, 0, "") + request(999, 0, ""),
	} {
		conn := dial(t, b)
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if _, err := io.Copy(io.Discard, conn); errors.As(err, &timeout) && timeout.Timeout() { // a reset is an end too
			t.Errorf("%s: the connection does not end", name)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic(testTopic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, size := range []int{1, 512 << 10} {
		if err := client.ProduceSync(t.Context(), kgo.StringRecord(strings.Repeat("x", size))).FirstErr(); err != nil {
			t.Errorf("a record of %d bytes: %v", size, err)
		}
	}
}

// A request is the same however it comes in pieces.
func TestRequestsInPieces(t *testing.T) {
	b, err := Start(Config{Topics: testTopics})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	conn := dial(t, b)
	for range 3 {
		for _, piece := range []byte(request(18, 0, "")) {
			if _, err := conn.Write([]byte{piece}); err != nil {
				t.Fatal(err)
			}
		}
		size := make([]byte, 4)
		if _, err := io.ReadFull(conn, size); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, binary.BigEndian.Uint32(size))
		if _, err := io.ReadFull(conn, body); err != nil {
			t.Fatal(err)
		}
		var versions kmsg.ApiVersionsResponse
		if err := versions.ReadFrom(body[4:]); err != nil || binary.BigEndian.Uint32(body) != 7 || len(versions.ApiKeys) == 0 {
			t.Fatalf("answer %x: %v", body, err)
		}
	}
}
