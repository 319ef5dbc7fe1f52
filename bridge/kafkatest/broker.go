package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/limpet-gateway/limpet/internal/freeport"
)

// LibsVariable names the environment variable that says where the artifacts
// are. Tests use the embedded broker where it is not set.
const LibsVariable = "LIMPET_TEST_KAFKA_LIBS"

const (
	startTimeout = 60 * time.Second // a cold Java on a loaded machine
	stopTimeout  = 15 * time.Second
	clusterID    = "bGltcGV0LXRlc3Qta2Fma2E" // 22 characters of base64
)

// Broker is a Kafka broker that is also its own controller.
type Broker struct {
	libs, dir string
	addr      string
	cmd       *exec.Cmd
	exited    chan struct{}
}

// New formats storage for a broker in a new directory. libs is the directory
// of the artifacts.
func New(libs string) (*Broker, error) {
	dir, err := os.MkdirTemp("", "limpet-kafka-")
	if err != nil {
		return nil, err
	}
	b := &Broker{libs: libs, dir: dir}
	controller, err := freeport.Loopback()
	if err == nil {
		b.addr, err = freeport.Loopback()
	}
	if err == nil {
		err = os.WriteFile(b.properties(), []byte(properties(b.addr, controller, dir)), 0o600)
	}
	if err == nil {
		err = b.java("kafka.tools.StorageTool", "format", "-t", clusterID, "-c", b.properties()).Run()
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("format the storage of Kafka: %w", err)
	}
	return b, nil
}

// Addr is the broker's host:port.
func (b *Broker) Addr() string { return b.addr }

// Start runs the broker and returns when it answers.
func (b *Broker) Start(ctx context.Context) error {
	log, err := os.OpenFile(b.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	b.cmd = b.java("kafka.Kafka", b.properties())
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if err := b.cmd.Start(); err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	b.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(b.cmd, b.exited)
	return b.await(ctx)
}

func (b *Broker) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr))
	if err != nil {
		return err
	}
	defer client.Close()
	for client.Ping(ctx) != nil {
		select {
		case <-b.exited:
			return errors.New("Kafka ended:\n" + b.tail())
		case <-ctx.Done():
			return errors.New("Kafka does not answer:\n" + b.tail())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// Kill ends the broker's process at once. Start brings it back.
func (b *Broker) Kill() {
	_ = b.cmd.Process.Kill()
	<-b.exited
}

// Close ends the broker and removes its directory.
func (b *Broker) Close() {
	if b.cmd != nil {
		_ = b.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-b.exited:
		case <-time.After(stopTimeout):
			b.Kill()
		}
	}
	_ = os.RemoveAll(b.dir)
}

func (b *Broker) java(class string, args ...string) *exec.Cmd {
	all := append([]string{"-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(b.libs, "*"), class}, args...)
	cmd := exec.Command("java", all...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (b *Broker) properties() string { return filepath.Join(b.dir, "server.properties") }
func (b *Broker) log() string        { return filepath.Join(b.dir, "kafka.log") }

// tail returns the last lines of the broker's log.
func (b *Broker) tail() string {
	text, err := os.ReadFile(b.log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

func properties(addr, controller, dir string) string {
	return strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + controller,
		"listeners=PLAINTEXT://" + addr + ",CONTROLLER://" + controller,
		"advertised.listeners=PLAINTEXT://" + addr,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=" + filepath.Join(dir, "data"),
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=2",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"group.min.session.timeout.ms=1000",
		"auto.create.topics.enable=false",
		"num.network.threads=2",
		"num.io.threads=4",
		"log.cleaner.enable=false",
		"",
	}, "\n")
}
