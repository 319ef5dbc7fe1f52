package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"golang.org/x/sys/unix"
)

// lockName is the file in the data directory that keeps a second process out.
const lockName = "limpet.lock"

// ErrDataDirInUse is returned by Start when another process has the directory.
var ErrDataDirInUse = errors.New("data directory is in use by another process")

// Broker is a running embedded broker. Its methods may be called from any
// goroutine.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File // nil in memory
	offsets *offsets // nil in memory; of the goroutine of retention, then of Close
	log     *slog.Logger

	stop      context.CancelFunc
	retention sync.WaitGroup
	closeOnce sync.Once
}

// Start starts a broker and creates the topics that it does not have yet. A
// topic is never left to be created by its first use: kfake forgets such a
// topic, with its records, when the process is killed.
func Start(cfg Config) (*Broker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	cfg = cfg.withDefaults()
	b := &Broker{log: cfg.Logger}
	bytes, segment := cfg.otherLimits()
	opts := []kfake.Opt{
		kfake.BrokerConfigs(map[string]string{
			"log.retention.bytes": strconv.FormatInt(bytes, 10),
			"log.segment.bytes":   strconv.FormatInt(segment, 10),
			"log.retention.ms":    strconv.FormatInt(cfg.Retention.Milliseconds(), 10),
		}),
		kfake.NumBrokers(1),
		kfake.ClusterID("limpet"),
		kfake.WithLogger(logger{cfg.Logger}),
		kfake.DefaultNumPartitions(1),
		// Groups of a gateway that restarts should not wait for the member
		// that died: one second is the shortest that a client may ask for.
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.ListenFn(cfg.listen),
		kfake.MaxVersions(versions()),
	}
	_, port, _ := net.SplitHostPort(cfg.Addr)
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: address %q: the port is not a number", cfg.Addr)
	}
	opts = append(opts, kfake.Ports(number))
	if cfg.DataDir != "" {
		if b.lock, err = lockDir(cfg.DataDir); err != nil {
			return nil, fmt.Errorf("embedded broker: %s: %w", cfg.DataDir, err)
		}
		if err := prepareDir(cfg.DataDir); err != nil {
			b.unlock()
			return nil, fmt.Errorf("embedded broker: %s: %w", cfg.DataDir, err)
		}
		b.offsets = &offsets{dir: cfg.DataDir}
		opts = append(opts, kfake.DataDir(cfg.DataDir))
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		b.unlock()
		return nil, fmt.Errorf("embedded broker: start on %s: %w", cfg.Addr, err)
	}
	if cfg.DataDir != "" {
		// kfake has read the log, whole if it was not closed: what that took
		// would count as memory in use until the next collection, and keep a
		// gateway with a small budget from starting.
		debug.FreeOSMemory()
	}
	b.addr = b.cluster.ListenAddrs()[0]
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	if err := b.createTopics(ctx, cfg); err != nil {
		b.Close()
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	b.retention.Add(1)
	go b.applyRetention(ctx, cfg.RetentionInterval)
	return b, nil
}

// versions are those of the stable Kafka protocol, but for produce requests
// that name topics by id (version 13): kfake panics, which would end the gateway,
// where two ids of one are not those of topics that are there. Clients send such
// when two topics were deleted, or a broker in memory has started anew.
//
// Nor is there the newer protocol of consumer groups (KIP-848). kfake keeps a
// group that came by it, and went on with the classic one, in a form that it
// panics over after a restart, at each member that comes by the newer again.
func versions() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.Produce), 12)
	v.SetMaxKeyVersion(int16(kmsg.ConsumerGroupHeartbeat), -1)
	return v
}

// Addr is the host:port on which the broker listens.
func (b *Broker) Addr() string { return b.addr }

// Cluster is the fake underneath, through which tests inject faults.
func (b *Broker) Cluster() *kfake.Cluster { return b.cluster }

// Close stops the broker; with a data directory everything is on disk when it
// returns. Clients should be closed before.
func (b *Broker) Close() {
	b.closeOnce.Do(func() {
		b.stop()
		b.retention.Wait()
		b.saveOffsets()
		b.cluster.Close()
		b.unlock()
	})
}

func (b *Broker) createTopics(ctx context.Context, cfg Config) error {
	for _, t := range cfg.Topics {
		partitions := t.Partitions
		if info := b.cluster.TopicInfo(t.Name); info != nil {
			partitions = int32(len(b.cluster.PartitionInfos(t.Name)))
		}
		bytes, segment := cfg.limits(t, partitions)
		settings := map[string]string{
			"retention.bytes": strconv.FormatInt(bytes, 10),
			"segment.bytes":   strconv.FormatInt(segment, 10),
			"retention.ms":    strconv.FormatInt(cfg.Retention.Milliseconds(), 10),
		}
		err := b.cluster.CreateTopic(t.Name, partitions, settings)
		if errors.Is(err, kerr.TopicAlreadyExists) {
			// Limits may have changed since the topic was created.
			err = alterTopic(ctx, b.addr, t.Name, settings)
		}
		if err != nil {
			return fmt.Errorf("create topic %s: %w", t.Name, err)
		}
	}
	return nil
}

// applyRetention runs until ctx ends. kfake has a ticker of its own, but only
// starts it when a topic is created or altered over the wire.
func (b *Broker) applyRetention(ctx context.Context, every time.Duration) {
	defer b.retention.Done()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.saveOffsets()
			b.cluster.ApplyRetention()
		}
	}
}

// saveOffsets failing holds nothing up: on a full disk it is retention that
// makes room again.
func (b *Broker) saveOffsets() {
	if b.offsets == nil {
		return
	}
	if err := b.offsets.save(b.cluster); err != nil {
		b.log.Warn("embedded broker: the offsets that topics have reached are not kept for the next start", "error", err)
	}
}

// lockDir makes dir and takes its lock, which ends with the process however
// that ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrDataDirInUse
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}

func (b *Broker) unlock() {
	if b.lock != nil {
		_ = b.lock.Close() // closing releases the lock; the file stays for the next one
	}
}

// logger passes on what kfake has to say, at warning and above: below that it
// reports requests.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("embedded broker: " + fmt.Sprintf(format, args...))
	}
}
