package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// aged is a broker on dir whose records leave after a second.
func aged(t *testing.T, dir string) *Broker {
	t.Helper()
	b, err := Start(Config{DataDir: dir, Topics: testTopics, Retention: time.Second, RetentionInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// end is the next offset of both partitions together, and left the records that
// are there.
func end(b *Broker) (next, left int64) {
	for _, p := range b.Cluster().PartitionInfos(testTopic) {
		next += p.HighWatermark
		left += p.HighWatermark - p.LogStartOffset
	}
	return next, left
}

func emptied(t *testing.T, b *Broker) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, left := end(b); left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("records outlive their retention")
		}
	}
}

// copyDir is what a process that was killed leaves: the files as they are.
func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// A consumer comes back to the offset it committed. It must find there what is
// produced next, although nothing older was kept over the restart.
func TestOffsetsGoOnWhenNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	b := aged(t, dir)
	produce(t, b.Addr(), 20, 10)
	emptied(t, b)
	killed := copyDir(t, dir)
	b.Close()
	for name, dir := range map[string]string{"closed": dir, "killed": killed} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time without a record in between
				b := aged(t, dir)
				if next, left := end(b); next != 20 {
					t.Errorf("partitions go on at %d, with %d records, want 20", next, left)
				}
				emptied(t, b)
				b.Close()
			}
			b, err := Start(Config{DataDir: dir, Topics: testTopics})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			produce(t, b.Addr(), 1, 10)
			client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics(testTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			records := client.PollFetches(ctx).Records()
			if len(records) != 1 {
				t.Fatalf("%d records, want the one that was produced", len(records))
			}
			if next, _ := end(b); next != 21 || len(records[0].Value) != 10 {
				t.Errorf("the record has offset %d, the next have %d together, want 21", records[0].Offset, next)
			}
		})
	}
}

// Records without the files that name their topics are not written over.
func TestDamagedDirIsRefused(t *testing.T) {
	dir := t.TempDir()
	b, err := Start(Config{DataDir: dir, Topics: testTopics})
	if err != nil {
		t.Fatal(err)
	}
	produce(t, b.Addr(), 3, 10)
	b.Close()
	for _, name := range []string{metaName, topicsName} {
		path := filepath.Join(dir, name)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		b, err := Start(Config{DataDir: dir, Topics: testTopics})
		if err == nil {
			b.Close()
		}
		if !errors.Is(err, ErrDataDirDamaged) {
			t.Errorf("without %s: %v, want ErrDataDirDamaged", name, err)
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
	b, err = Start(Config{DataDir: dir, Topics: testTopics})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if next, left := end(b); next != 3 || left != 3 {
		t.Errorf("%d records up to %d, want 3", left, next)
	}
}
