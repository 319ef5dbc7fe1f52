package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

// These make the test binary a broker on a directory that produces to itself
// until it is killed: TestSurvivesKill needs a process to kill.
const (
	serveDir  = "LIMPET_TEST_EMBEDDED_DIR"
	serveName = "LIMPET_TEST_EMBEDDED_NAME"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveDir); dir != "" {
		serve(dir, os.Getenv(serveName))
		return
	}
	goleak.VerifyTestMain(m)
}

const testTopic = "limpet.uplink"

var testTopics = []Topic{{Name: testTopic, Partitions: 2, Weight: 3}, {Name: "limpet.downlink", Partitions: 1}}

// serve prints the value of each record when it is acknowledged.
func serve(dir, name string) {
	b, err := Start(Config{DataDir: dir, Topics: testTopics})
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic(testTopic))
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	for i := 0; ; i++ {
		value := fmt.Sprintf("%s-%d", name, i)
		r := kgo.KeyStringRecord(fmt.Sprintf("k%d", i%7), value)
		if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			fmt.Println("error:", err)
			return
		}
		fmt.Println(value)
	}
}

// read returns how often each value is in the topic, when there are at least n
// different ones.
func read(t *testing.T, addr string, n int) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(testTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	got := map[string]int{}
	for len(got) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d records came, want %d", len(got), n)
		}
		fetches.EachRecord(func(r *kgo.Record) { got[string(r.Value)]++ })
	}
	return got
}

func produce(t *testing.T, addr string, n, size int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(testTopic), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	value := []byte(strings.Repeat("x", size))
	for range n {
		if err := client.ProduceSync(context.Background(), kgo.SliceRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// A process killed in the middle of its work loses no record that it
// acknowledged, whatever the moment.
func TestSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	var acked []string
	for round := range 3 {
		acked = append(acked, produceUntilKilled(t, dir, fmt.Sprint(round), 200+37*round)...)
		b, err := Start(Config{DataDir: dir, Topics: testTopics})
		if err != nil {
			t.Fatalf("round %d: start after SIGKILL: %v", round, err)
		}
		got := read(t, b.Addr(), len(acked))
		for _, value := range acked {
			if got[value] != 1 {
				t.Errorf("round %d: acknowledged record %s is there %d times", round, value, got[value])
			}
		}
		b.Close()
	}
}

// produceUntilKilled runs a broker of its own process on dir, kills it after n
// acknowledged records and returns the values of all that it acknowledged.
func produceUntilKilled(t *testing.T, dir, name string, n int) (acked []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), serveDir+"="+dir, serveName+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timeout := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer timeout.Stop()
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		if acked = append(acked, scanner.Text()); len(acked) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	if len(acked) < n {
		t.Fatalf("process %s ended after %d records: %v", name, len(acked), acked[max(0, len(acked)-1):])
	}
	return acked
}

// However much is written, what is kept comes back inside the limit at the next
// pass, on disk and in the log that a consumer sees.
func TestRetentionBoundsTheDisk(t *testing.T) {
	dir := t.TempDir()
	const limit = 8 << 20
	b, err := Start(Config{DataDir: dir, Topics: testTopics, MaxBytes: limit, RetentionInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	most := int64(0)
	for range 10 {
		produce(t, b.Addr(), 60, 64<<10) // 3.75 MiB
		now := size(t, dir)
		for deadline := time.Now().Add(patience); now > limit*3/2; now = size(t, dir) {
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes on disk, limit %d", now, limit)
			}
			time.Sleep(10 * time.Millisecond)
		}
		most = max(most, now)
	}
	if most < limit/4 {
		t.Errorf("%d bytes on disk: records vanish long before the limit %d", most, limit)
	}
}

// A topic that a client creates and says nothing about is no hole in the disk.
func TestRetentionBoundsTopicsOfClients(t *testing.T) {
	dir := t.TempDir()
	const limit = 8 << 20
	for range 2 { // the second time on a directory that is there
		b, err := Start(Config{DataDir: dir, Topics: testTopics, MaxBytes: limit, RetentionInterval: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("other"), kgo.ProducerBatchCompression(kgo.NoCompression()))
		if err != nil {
			t.Fatal(err)
		}
		_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "other")
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			t.Fatal(err)
		}
		for range 320 { // 20 MiB
			if err := client.ProduceSync(t.Context(), kgo.SliceRecord(make([]byte, 64<<10))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		client.Close()
		b.Cluster().ApplyRetention()
		if got := size(t, dir); got > limit {
			t.Errorf("%d bytes on disk, limit %d", got, limit)
		}
		b.Close()
	}
}

func TestRetentionBoundsTheAge(t *testing.T) {
	b, err := Start(Config{Topics: testTopics, Retention: time.Second, RetentionInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	produce(t, b.Addr(), 3, 10)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := int64(0)
		for _, p := range b.Cluster().PartitionInfos(testTopic) {
			left += p.HighWatermark - p.LogStartOffset
		}
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d records outlive their retention", left)
		}
	}
}

func TestSecondProcessIsKeptOut(t *testing.T) {
	dir := t.TempDir()
	b, err := Start(Config{DataDir: dir, Topics: testTopics})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Config{DataDir: dir, Topics: testTopics}); !errors.Is(err, ErrDataDirInUse) {
		t.Errorf("second broker on one directory: %v, want ErrDataDirInUse", err)
	}
	b.Close()
	b, err = Start(Config{DataDir: dir, Topics: testTopics, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatalf("after the first one closed: %v", err)
	}
	b.Close()
}

func TestConfigReportsEveryFault(t *testing.T) {
	err := Config{Addr: "0.0.0.0:1", MaxBytes: 1, Retention: 1, Topics: []Topic{{}}}.Validate()
	for _, word := range []string{"127.0.0.1", "size", "retention", "topic"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("no word of %s in %v", word, err)
		}
	}
}

func size(t *testing.T, dir string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreMissing(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		total += info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// ignoreMissing lets a file that retention removes meanwhile go.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// What a start reads of a long log is not memory that the process goes on to
// have.
func TestStartReturnsMemory(t *testing.T) {
	dir := t.TempDir()
	b, err := Start(Config{DataDir: dir, Topics: testTopics})
	if err != nil {
		t.Fatal(err)
	}
	produce(t, b.Addr(), 100, 640<<10) // 62.5 MiB
	killed := copyDir(t, dir)
	b.Close()
	debug.FreeOSMemory()
	before := held()
	b, err = Start(Config{DataDir: killed, Topics: testTopics})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if after := held(); after > before+24<<20 {
		t.Errorf("the heap has %d MiB after the start, %d before", after>>20, before>>20)
	}
}

// held is the memory that the heap has of the host.
func held() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys - m.HeapReleased
}
