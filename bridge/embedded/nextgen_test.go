package embedded

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A client that asks for a group by the protocol of KIP-848 is refused, and the
// broker goes on, also where the group is one that a broker which offered it
// has left behind.
func TestNewerGroupProtocolIsRefused(t *testing.T) {
	dir := t.TempDir()
	b, err := Start(Config{DataDir: dir, Topics: testTopics})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	// What kfake writes when such a group goes on with the classic protocol.
	appendEntry(t, filepath.Join(dir, "groups.log"), map[string]any{"type": "meta", "g": "g", "typ": "consumer", "pt": "consumer", "pr": "range", "gen": 1})
	if b, err = Start(Config{DataDir: dir, Topics: testTopics}); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic(testTopic), kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	join := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	join.Group, join.MemberID, join.RebalanceTimeoutMillis = "g", "member", 1000
	join.SubscribedTopicNames = []string{testTopic}
	join.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{} // none owned yet
	if _, err := join.RequestWith(ctx, client); err == nil || ctx.Err() != nil {
		t.Errorf("the newer protocol: %v, want a refusal", err)
	}
	if err := client.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// appendEntry writes to one of kfake's logs: length, checksum, version, JSON.
func appendEntry(t *testing.T, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	const version = 1
	body := append(binary.LittleEndian.AppendUint16(nil, version), data...)
	entry := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	entry = binary.LittleEndian.AppendUint32(entry, crc32.Checksum(body, castagnoli))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(append(entry, body...)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
